//! What can be completed, with what is shown beside it.

use crate::features::describe;
use crate::features::fixes::import_of;
use crate::features::signature::Slot;
use crate::names::{Argument, Definition, Kind, Symbol};
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::fields::FIELDS;
use aent::load::{LIBRARY, functions};
use aent::plugin::{AnyEntry, Parameter, ParameterType, registry};
use aent::span::Span;
use aent::types::{FieldSort, Kind as ValueKind, Shape, Type};
use aent::{BUILTINS, Fact};
use lsp_types::CompletionItemKind;
use std::path::Path;

/// What a place wants, so that what fits comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// Anything.
    Any,
    /// A value of this type.
    Type(Type),
    /// A batch field that only terms read, of one of these sorts.
    Field(&'static [FieldSort]),
}

/// Something that can be completed.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// What is shown and filtered.
    pub(crate) label: String,
    /// What is shown beside it.
    pub(crate) detail: Option<String>,
    /// What is said of it.
    pub(crate) docs: Option<String>,
    /// Its kind.
    pub(crate) kind: CompletionItemKind,
    /// What is inserted, if that is not the label.
    pub(crate) insert: Option<String>,
    /// The same with a place to fill in.
    pub(crate) snippet: Option<String>,
    /// An import that it needs.
    pub(crate) import: Option<(Span, String)>,
    /// The name under which `aent terms` describes it.
    pub(crate) entry: Option<String>,
    /// Its place in the order: 0 fits best.
    pub(crate) rank: u8,
}

impl Candidate {
    /// What is inserted where there are no places to fill in.
    pub(crate) fn plain(&self) -> &str {
        self.insert.as_deref().unwrap_or(&self.label)
    }
}

impl Default for Candidate {
    fn default() -> Self {
        Self {
            label: String::new(),
            detail: None,
            docs: None,
            kind: CompletionItemKind::Text,
            insert: None,
            snippet: None,
            import: None,
            entry: None,
            rank: 0,
        }
    }
}

/// The statements, as they begin.
pub(crate) fn statements() -> Vec<Candidate> {
    let all = [
        ("param", "param ${1:name} = ${2:0.2} in ${3:0 .. 1}", "a constant that may be set from outside"),
        ("input", "input ${1:name}: ${2:token}", "a field that the batch brings"),
        ("set", "set temperature = ${1:1}", "the temperature of the logits"),
        ("fn", "fn ${1:name}(${2:x}) = $0", "a formula with arguments"),
        ("let", "let ${1:name} = $0", "a name for a value"),
        ("controller", "controller ${1:name} = $0", "a coefficient that moves between steps"),
        ("loss", "loss = $0", "what is minimised"),
        ("metric", "metric ${1:name} = $0", "a number to report"),
        ("assert", "assert ${1:condition}, \"${2:words}\"", "what has to hold in every step"),
        ("import", "import \"$0\"", "the definitions of another file"),
        ("edition", "edition 1", "the edition of the language"),
    ];
    let one = |(label, snippet, docs): (&str, &str, &str)| Candidate {
        label: label.to_owned(),
        snippet: Some(snippet.to_owned()),
        detail: Some(docs.to_owned()),
        kind: CompletionItemKind::Keyword,
        ..Candidate::default()
    };
    all.into_iter().map(one).collect()
}

/// Words of the language.
pub(crate) fn words(words: &[&str]) -> Vec<Candidate> {
    let one = |(rank, word): (usize, &&str)| Candidate {
        label: (*word).to_owned(),
        kind: CompletionItemKind::Keyword,
        rank: rank as u8,
        ..Candidate::default()
    };
    words.iter().enumerate().map(one).collect()
}

/// The files that can be imported.
pub(crate) fn files(view: &View, project: &Project) -> Vec<Candidate> {
    let one = |label: String, rank: u8| Candidate {
        label,
        kind: CompletionItemKind::File,
        rank,
        ..Candidate::default()
    };
    let library = LIBRARY.iter().map(|(file, _)| one(format!("std/{file}"), 0));
    let own = view.path(ROOT);
    let folder = own.and_then(Path::parent);
    let others = project.all().into_iter().filter(|path| Some(path.as_path()) != own);
    // Only what lies in the file's own folder or below has a plain path.
    let below = others.filter_map(|path| {
        let parts: Vec<_> = path.strip_prefix(folder?).ok()?.iter().map(|of| of.to_string_lossy()).collect();
        Some(one(parts.join("/"), 1))
    });
    library.chain(below).collect()
}

/// The kinds of controllers.
pub(crate) fn controllers() -> Vec<Candidate> {
    registry()
        .iter()
        .filter(|entry| matches!(entry, AnyEntry::Controller(_)))
        .map(|of| entry(of, 0))
        .collect()
}

/// What follows the dot after a name or a call.
pub(crate) fn members(view: &View, statement: usize, base: usize) -> Vec<Candidate> {
    let bundle = &view.analysis.bundle;
    match view.scope.owner(bundle, ROOT, statement, base) {
        Some(Symbol::Defined(Definition { kind: Kind::Alias, file: Some(file), .. })) => {
            let seen = view.scope.visible(file).filter(|(_, of)| of.kind != Kind::Alias);
            seen.map(|(name, of)| defined(view, name, &of, 0)).collect()
        }
        Some(Symbol::Defined(of)) if of.kind == Kind::Function => {
            let extras = view.scope.locals(of.place.source, of.statement).filter(|of| of.kind == Kind::Extra);
            extras.map(|of| defined(view, view.part(of.place), &of, 0)).collect()
        }
        Some(Symbol::Entry(AnyEntry::Term(entry))) => {
            let one = |of: &aent::plugin::Extra| Candidate {
                label: of.name.to_owned(),
                detail: Some(of.ty.to_string()),
                docs: Some(of.docs.to_owned()),
                kind: CompletionItemKind::Property,
                ..Candidate::default()
            };
            entry.signature().extras.iter().map(one).collect()
        }
        _ => Vec::new(),
    }
}

/// The names of arguments that a call can still give.
pub(crate) fn arguments(slots: &[Slot], given: &[String]) -> Vec<Candidate> {
    let open = slots.iter().filter(|slot| !given.contains(&slot.name));
    let one = |slot: &Slot| Candidate {
        label: format!("{} =", slot.name),
        detail: slot.default.as_ref().map(|default| format!("= {default}")),
        docs: (!slot.docs.is_empty()).then(|| slot.docs.clone()),
        insert: Some(format!("{} = ", slot.name)),
        kind: CompletionItemKind::Field,
        rank: u8::from(!slot.required),
        ..Candidate::default()
    };
    // A function of the language takes its arguments without names.
    open.filter(|slot| !matches!(slot.argument, Some(Argument::Plain))).map(one).collect()
}

/// The values among which an argument chooses; none if it takes any.
pub(crate) fn choices(slot: &Slot) -> Vec<Candidate> {
    let one = |label: String| Candidate {
        rank: u8::from(slot.default.as_deref() != Some(&label)),
        // In quotes that are written already, only the word is.
        insert: Some(label.clone()),
        label,
        kind: CompletionItemKind::EnumMember,
        ..Candidate::default()
    };
    match &slot.argument {
        Some(Argument::Parameter(Parameter { ty: ParameterType::Choice(all), .. })) => {
            all.iter().map(|of| one(format!("{of:?}"))).collect()
        }
        Some(Argument::Parameter(Parameter { ty: ParameterType::Bool, .. })) => {
            ["true", "false"].map(|of| one(of.to_owned())).into()
        }
        _ => Vec::new(),
    }
}

/// Everything that a formula can name, what fits first.
pub(crate) fn values(view: &View, statement: usize, offset: usize, wanted: Wanted) -> Vec<Candidate> {
    let mut out = Vec::new();
    let local = |of: &Definition| (of.place.end as usize) < offset;
    for of in view.scope.locals(ROOT, statement).filter(local) {
        out.push(defined(view, view.part(of.place), &of, rank(view.fact(of.place), wanted)));
    }
    for (name, of) in view.scope.visible(ROOT) {
        // A formula knows only what stands above it.
        let above = of.place.source != ROOT || of.statement < statement || of.kind == Kind::Param;
        if above {
            let rank = if of.kind == Kind::Function { 1 } else { rank(view.fact(of.place), wanted) };
            out.push(defined(view, name, &of, rank));
        }
    }
    if let Wanted::Field(_) = wanted {
        return out;
    }
    for field in FIELDS {
        out.push(Candidate {
            label: field.name.to_owned(),
            detail: Some(field.ty.to_string()),
            docs: Some(field.docs.to_owned()),
            kind: CompletionItemKind::Field,
            rank: rank_of_type(field.ty, wanted),
            ..Candidate::default()
        });
    }
    out.push(Candidate {
        label: "step".to_owned(),
        detail: Some(Type::SCALAR.to_string()),
        docs: Some("the number of steps before this one".to_owned()),
        kind: CompletionItemKind::Field,
        rank: rank_of_type(Type::SCALAR, wanted),
        ..Candidate::default()
    });
    for of in registry().iter() {
        match of {
            AnyEntry::Term(term) => out.push(entry(of, rank_of_type(term.signature().result, wanted))),
            AnyEntry::Reduction(reduction) => {
                out.push(entry(of, rank_of_type(reduction.signature().to, wanted)));
            }
            AnyEntry::Controller(_) => {}
        }
    }
    for of in BUILTINS {
        out.push(Candidate {
            label: of.name.to_owned(),
            detail: Some(aent_show::call(of)),
            docs: Some(of.docs.to_owned()),
            snippet: Some(format!("{}($0)", of.name)),
            kind: CompletionItemKind::Function,
            rank: 2,
            ..Candidate::default()
        });
    }
    for of in functions().into_iter().filter(|of| view.scope.find(&of.name, ROOT).is_none()) {
        out.push(Candidate {
            detail: Some(format!("{} from \"{}\"", of.call(), of.file)),
            docs: Some(aent_show::summary(&of.docs)),
            snippet: Some(format!("{}($0)", of.name)),
            kind: CompletionItemKind::Function,
            import: Some(import_of(view, &of.file)),
            entry: Some(of.name.clone()),
            rank: 4,
            label: of.name,
            ..Candidate::default()
        });
    }
    out
}

/// What a file defines.
fn defined(view: &View, name: &str, of: &Definition, rank: u8) -> Candidate {
    let is_function = of.kind == Kind::Function;
    let comment = match of.kind {
        Kind::Parameter | Kind::Step | Kind::Extra => String::new(),
        _ => describe::comment(view, of),
    };
    let detail = if is_function {
        Some(describe::head(view, of, name))
    } else {
        view.fact(of.place).map(describe::short)
    };
    Candidate {
        label: name.to_owned(),
        detail,
        docs: (!comment.is_empty()).then_some(comment),
        snippet: is_function.then(|| format!("{name}($0)")),
        kind: match of.kind {
            Kind::Function => CompletionItemKind::Function,
            Kind::Param | Kind::Parameter => CompletionItemKind::Constant,
            Kind::Input => CompletionItemKind::Field,
            Kind::Alias => CompletionItemKind::Module,
            Kind::Extra => CompletionItemKind::Property,
            _ => CompletionItemKind::Variable,
        },
        rank,
        ..Candidate::default()
    }
}

/// A term, a reduction or a kind of controller.
fn entry(of: AnyEntry, rank: u8) -> Candidate {
    let declaration = of.declaration();
    Candidate {
        label: declaration.name.to_owned(),
        detail: Some(aent_show::first_sentence(declaration.docs)),
        snippet: Some(format!("{}($0)", declaration.name)),
        kind: match of {
            AnyEntry::Term(_) => CompletionItemKind::Function,
            AnyEntry::Reduction(_) => CompletionItemKind::Method,
            AnyEntry::Controller(_) => CompletionItemKind::Class,
        },
        entry: Some(declaration.name.to_owned()),
        rank,
        ..Candidate::default()
    }
}

/// How well a value fits.
fn rank(fact: Option<&Fact>, wanted: Wanted) -> u8 {
    match (fact, wanted) {
        (_, Wanted::Any) => 0,
        (Some(Fact::Value { ty, .. }), Wanted::Type(_)) => rank_of_type(*ty, wanted).saturating_sub(1),
        (Some(Fact::Field(sort)), Wanted::Field(sorts)) => u8::from(!sorts.contains(sort)),
        (None, _) => 1,
        _ => 3,
    }
}

fn rank_of_type(ty: Type, wanted: Wanted) -> u8 {
    match wanted {
        Wanted::Any => 1,
        Wanted::Type(of) if ty == of => 1,
        Wanted::Type(of) if ty.fits(of) && ty.shape != Shape::Scalar => 1,
        Wanted::Type(of) if ty.kind == of.kind || ty.kind == ValueKind::Bool => 2,
        Wanted::Type(_) | Wanted::Field(_) => 3,
    }
}
