//! Which definition a name means, by the rules of the checker: a file sees its own names and those of the files that it
//! imports without a name, and nothing shadows anything.

use super::statements;
use super::symbol::{Argument, Definition, Symbol, tensors};
use super::words::{Kind, Role, Statement, Word, part};
use aent::fields;
use aent::load::Bundle;
use aent::plugin::{AnyEntry, Lookup, registry};
use aent::span::SourceId;
use aent::syntax::ast::StatementKind;
use aent::{BUILTINS, Builtin};
use std::collections::HashMap;

/// The names of a file and of all that it imports.
#[derive(Debug)]
pub(crate) struct Scope {
    files: Vec<Names>,
}

#[derive(Debug)]
struct Names {
    statements: Vec<Statement>,
    /// The definitions by name, without those of a `fn` for itself.
    defined: HashMap<String, Vec<Definition>>,
    /// This file and all that it imports without a name for them, directly or indirectly.
    sees: Vec<SourceId>,
}

impl Scope {
    /// The names of a bundle.
    pub(crate) fn new(bundle: &Bundle) -> Self {
        let files = bundle.sources.iter().map(|(source, of)| {
            let statements = statements(source, of.text());
            let mut defined = HashMap::<String, Vec<Definition>>::new();
            for (index, statement) in statements.iter().enumerate() {
                let Some((word, kind)) = statement.defines() else { continue };
                let file = bundle
                    .imports
                    .iter()
                    .find(|(import, _)| kind == Kind::Alias && import.start == statement.span().start)
                    .filter(|(import, _)| import.source == source)
                    .map(|(_, target)| *target);
                let definition = Definition { place: word.span, kind, statement: index, file };
                defined.entry(part(of.text(), word.span).to_owned()).or_default().push(definition);
            }
            Names { statements, defined, sees: reached(source, bundle) }
        });
        Self { files: files.collect() }
    }

    /// The statements of a file.
    pub(crate) fn statements(&self, source: SourceId) -> &[Statement] {
        &self.files[source.0 as usize].statements
    }

    /// The number of the statement that begins last at or before a byte.
    pub(crate) fn statement_at(&self, source: SourceId, offset: u32) -> Option<usize> {
        self.statements(source).partition_point(|of| of.span().start <= offset).checked_sub(1)
    }

    /// What can be named in a file besides what a statement defines for itself.
    pub(crate) fn visible(&self, source: SourceId) -> impl Iterator<Item = (&str, Definition)> {
        let names = &self.files[source.0 as usize];
        names.sees.iter().flat_map(move |file| {
            let all = self.files[file.0 as usize].defined.iter();
            let all = all.flat_map(|(name, found)| found.iter().map(move |of| (name.as_str(), *of)));
            // What is reported has names of its own; what a file calls an import is its own business.
            all.filter(move |(_, of)| match of.kind {
                Kind::Loss | Kind::Metric => false,
                Kind::Alias => *file == source,
                _ => true,
            })
        })
    }

    /// What a statement defines for itself.
    pub(crate) fn locals(&self, source: SourceId, statement: usize) -> impl Iterator<Item = Definition> {
        let words = self.statements(source).get(statement).map_or(&[][..], |of| &of.words);
        words.iter().filter_map(move |word| match word.role {
            Role::Definition(kind @ (Kind::Parameter | Kind::Step | Kind::Extra)) => {
                Some(Definition { place: word.span, kind, statement, file: None })
            }
            _ => None,
        })
    }

    /// The definition that a file means by a name.
    pub(crate) fn find(&self, name: &str, source: SourceId) -> Option<Definition> {
        let found = self.files[source.0 as usize].sees.iter().filter_map(|file| {
            let all = self.files[file.0 as usize].defined.get(name)?;
            all.iter().find(|of| match of.kind {
                Kind::Loss | Kind::Metric => false,
                Kind::Alias => *file == source,
                _ => true,
            })
        });
        found.copied().next()
    }

    /// What a name in a text means.
    pub(crate) fn symbol(
        &self,
        bundle: &Bundle,
        source: SourceId,
        statement: usize,
        word: usize,
    ) -> Option<Symbol> {
        let of = &self.statements(source)[statement];
        let Word { span, role } = of.words[word];
        let text = bundle.sources.get(source).text();
        let name = part(text, span);
        match role {
            Role::Definition(kind) => {
                let file = self.files[source.0 as usize].defined.get(name);
                let file = file.and_then(|all| all.iter().find(|of| of.place == span)).and_then(|of| of.file);
                Some(Symbol::Defined(Definition { place: span, kind, statement, file }))
            }
            Role::Value => self.value(bundle, source, statement, name),
            Role::Callee => self.callee(source, name),
            Role::Controller => match registry().find(name) {
                Lookup::Found(entry) => Some(Symbol::Entry(entry)),
                _ => None,
            },
            Role::Argument(callee) => {
                let callee = self.symbol(bundle, source, statement, callee?)?;
                self.argument(bundle, &callee, name)
            }
            Role::Member(base) | Role::CalledMember(base) => {
                self.member(bundle, source, statement, base?, name)
            }
            Role::Language => None,
        }
    }

    /// What a name means where a value stands.
    fn value(&self, bundle: &Bundle, source: SourceId, statement: usize, name: &str) -> Option<Symbol> {
        let text = bundle.sources.get(source).text();
        let local = self.locals(source, statement).find(|of| part(text, of.place) == name);
        if let Some(definition) = local.or_else(|| self.find(name, source)) {
            return Some(Symbol::Defined(definition));
        }
        if let Some(field) = fields::find(name) {
            return Some(Symbol::Field(field));
        }
        if let Some(name) = fields::names().find(|of| *of == name) {
            return Some(Symbol::Vocabulary(name));
        }
        if let Some(builtin) = builtin(name) {
            return Some(Symbol::Builtin(builtin));
        }
        match registry().find(name) {
            Lookup::Found(entry @ AnyEntry::Term(_)) => Some(Symbol::Entry(entry)),
            _ if name == "step" => Some(Symbol::Step),
            Lookup::Found(entry) => Some(Symbol::Entry(entry)),
            _ => None,
        }
    }

    /// What a name means where something is called.
    pub(crate) fn callee(&self, source: SourceId, name: &str) -> Option<Symbol> {
        let function = self.find(name, source).filter(|of| of.kind == Kind::Function);
        if let Some(function) = function {
            return Some(Symbol::Defined(function));
        }
        if let Some(builtin) = builtin(name) {
            return Some(Symbol::Builtin(builtin));
        }
        match registry().find(name) {
            Lookup::Found(entry) => Some(Symbol::Entry(entry)),
            _ => self.find(name, source).map(Symbol::Defined),
        }
    }

    /// What the name of an argument means in a call.
    pub(crate) fn argument(&self, bundle: &Bundle, callee: &Symbol, name: &str) -> Option<Symbol> {
        match callee {
            Symbol::Defined(function) => {
                let text = bundle.sources.get(function.place.source).text();
                let mut locals = self.locals(function.place.source, function.statement);
                let found = locals.find(|of| of.kind == Kind::Parameter && part(text, of.place) == name)?;
                Some(Symbol::Defined(found))
            }
            Symbol::Builtin(builtin) => {
                builtin.params.contains(&name).then_some(Symbol::Argument(builtin.name, Argument::Plain))
            }
            Symbol::Entry(entry) => {
                let declaration = entry.declaration();
                let constant = declaration.parameter(name).map(Argument::Parameter);
                let tensor = || tensors(*entry).into_iter().find(|(of, ..)| *of == name).map(|(_, of, _)| of);
                Some(Symbol::Argument(declaration.name, constant.or_else(tensor)?))
            }
            _ => None,
        }
    }

    /// What follows the dot after a value or a call.
    fn member(
        &self,
        bundle: &Bundle,
        source: SourceId,
        statement: usize,
        base: usize,
        name: &str,
    ) -> Option<Symbol> {
        match self.owner(bundle, source, statement, base)? {
            Symbol::Defined(Definition { kind: Kind::Alias, file: Some(file), .. }) => {
                self.find(name, file).map(Symbol::Defined)
            }
            Symbol::Defined(function) => {
                let text = bundle.sources.get(function.place.source).text();
                let mut locals = self.locals(function.place.source, function.statement);
                let found = locals.find(|of| of.kind == Kind::Extra && part(text, of.place) == name)?;
                Some(Symbol::Defined(found))
            }
            Symbol::Entry(AnyEntry::Term(entry)) => {
                let extra = entry.signature().extras.iter().find(|of| of.name == name)?;
                Some(Symbol::Extra(entry.declaration.name, *extra))
            }
            _ => None,
        }
    }

    /// What has the members of a name: an import, or the function or term whose value the name has, directly or through the
    /// names that `let` statements give it.
    pub(crate) fn owner(
        &self,
        bundle: &Bundle,
        source: SourceId,
        statement: usize,
        base: usize,
    ) -> Option<Symbol> {
        let mut found = self.symbol(bundle, source, statement, base)?;
        // Definitions may be circular in a text with errors.
        for _ in 0..32 {
            let Symbol::Defined(Definition { kind: Kind::Let | Kind::Step, place, statement, .. }) = found
            else {
                return Some(found);
            };
            let of = &self.statements(place.source)[statement];
            let after = of.words.iter().position(|word| word.span.start > place.start)?;
            let value = &of.words[after];
            // Only a `let` whose whole formula is a call or a name hands on what that has.
            let begins = of.tokens.iter().position(|token| token.span.start == value.span.start)?;
            let first = of.tokens.get(begins.checked_sub(2)?)?.span;
            let end = match of.call_of(after).map(|call| call.close) {
                Some(Some(close)) => close,
                // A call that is not closed yet goes on to the end.
                Some(None) => of.span(),
                None => value.span,
            };
            let ends = of.tokens.iter().position(|token| token.span.end == end.end)? + 1;
            let text = bundle.sources.get(place.source).text();
            let next = of.tokens.get(ends).map_or("", |token| part(text, token.span));
            if first != place || !matches!(next, "" | "let" | "extra" | "return" | "}") {
                return None;
            }
            found = self.symbol(bundle, place.source, statement, after)?;
        }
        None
    }
}

/// A function of the language.
fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

fn reached(file: SourceId, bundle: &Bundle) -> Vec<SourceId> {
    let mut reached = vec![file];
    let mut next = 0;
    while let Some(from) = reached.get(next).copied() {
        next += 1;
        for statement in &bundle.file(from).statements {
            let StatementKind::Import { alias: None, .. } = &statement.kind else { continue };
            match bundle.imports.get(&statement.span) {
                Some(target) if !reached.contains(target) => reached.push(*target),
                _ => {}
            }
        }
    }
    reached
}
