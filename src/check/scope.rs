//! The names of a program, and which file sees which. There is no shadowing.

use super::Valued;
use crate::load::Bundle;
use crate::span::{SourceId, Span};
use crate::syntax::ast::{Expr, FnParam, FnStep, Name, StatementKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The keyword recorded for names from statements with syntax errors.
pub(super) const BROKEN: &str = "broken";

/// The meaning of a name.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// A `let`, `param`, `input` or `controller`.
    Value(Valued),
    /// A `fn`, by its index.
    Function(usize),
    /// A file that is imported under this name.
    Import(SourceId),
    /// A statement that failed to check; its uses are not reported again.
    Poisoned,
}

/// A name and where it is defined.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub meaning: Meaning,
    /// `let`, `param`, `input`, `controller`, `fn` or `import`.
    pub keyword: &'static str,
    pub span: Span,
    /// The files that define it: one, or several that declare the same `input`.
    pub files: Vec<SourceId>,
    pub used: bool,
}

/// A `fn` statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function<'a> {
    pub name: &'a str,
    pub params: &'a [FnParam],
    pub steps: &'a [FnStep],
    pub body: &'a Expr,
}

/// All names defined so far.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// Each name with its definitions. A file sees at most one of them.
    names: BTreeMap<&'a str, Vec<Binding>>,
    pub functions: Vec<Function<'a>>,
    /// Names defined further down, with their places, for better messages.
    later: BTreeMap<&'a str, Vec<Span>>,
    /// For each file, itself and all that it imports without a name for them, directly or indirectly.
    sees: Vec<BTreeSet<SourceId>>,
    /// For each file, what the compiled file writes before its names: `kl.`, or nothing.
    prefixes: Vec<String>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(bundle: &Bundle) -> Self {
        let files = bundle.files.iter().map(|file| file.source);
        let sees = files.map(|file| reached(file, bundle)).collect();
        let prefixes = prefixes(bundle);
        Self { names: BTreeMap::new(), functions: Vec::new(), later: BTreeMap::new(), sees, prefixes }
    }

    /// Looks up a name in a file, which sees its own names and those of the files it imports. A library function
    /// therefore never reads a name of the file that calls it.
    pub(super) fn find(&mut self, name: &str, file: SourceId) -> Option<&mut Binding> {
        let sees = &self.sees;
        self.names.get_mut(name)?.iter_mut().find(|of| visible(sees, of, file))
    }

    /// The definition that some file would see together with one in `file`.
    pub(super) fn clash(&self, name: &str, file: SourceId) -> Option<&Binding> {
        let both = |of: &Binding| {
            self.sees.iter().any(|seen| seen.contains(&file) && of.files.iter().any(|of| seen.contains(of)))
        };
        let other = |of: &Binding| !matches!(of.meaning, Meaning::Import(_)) || of.files.contains(&file);
        self.names.get(name)?.iter().find(|of| both(of) && other(of))
    }

    /// The `input` of that name, in whatever file: all files have one batch.
    pub(super) fn input(&mut self, name: &str) -> Option<&mut Binding> {
        self.names.get_mut(name)?.iter_mut().find(|of| of.keyword == "input")
    }

    /// Whether any file defines a name.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Where a name is defined, in whatever file.
    pub(super) fn place_of(&self, name: &str) -> Option<Span> {
        Some(self.names.get(name)?.first()?.span)
    }

    /// Defines a name, in place of a broken statement that would have defined it.
    pub(super) fn insert(&mut self, name: &'a str, binding: Binding) {
        let all = self.names.entry(name).or_default();
        all.retain(|of| of.keyword != BROKEN);
        all.push(binding);
    }

    /// All names with their definitions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &Binding)> {
        self.names.iter().flat_map(|(name, all)| all.iter().map(|of| (*name, of)))
    }

    /// Remembers that a name is defined further down.
    pub(super) fn expect(&mut self, name: &'a Name) {
        self.later.entry(&name.node).or_default().push(name.span);
    }

    /// Forgets that a name is defined further down: it is defined now.
    pub(super) fn arrived(&mut self, name: &Name) {
        if let Some(later) = self.later.get_mut(name.node.as_str()) {
            later.retain(|span| *span != name.span);
        }
    }

    /// Where a name is defined further down, if the file sees it.
    pub(super) fn find_later(&self, name: &str, file: SourceId) -> Option<Span> {
        self.later.get(name)?.iter().copied().find(|span| self.sees(file, span.source))
    }

    /// The names that a file sees.
    pub(super) fn visible_names(&self, file: SourceId) -> impl Iterator<Item = &'a str> {
        let seen = self.iter().filter(move |(_, of)| visible(&self.sees, of, file));
        seen.filter(|(_, of)| !matches!(of.meaning, Meaning::Import(_))).map(|(name, _)| name)
    }

    /// The names of values that a file sees.
    pub(super) fn visible_values(&self, file: SourceId) -> impl Iterator<Item = &'a str> {
        let seen = self.iter().filter(move |(_, of)| visible(&self.sees, of, file));
        let values = seen.filter(|(_, of)| !matches!(of.meaning, Meaning::Function(_) | Meaning::Import(_)));
        values.map(|(name, _)| name)
    }

    /// Whether one file sees the names of another.
    pub(super) fn sees(&self, file: SourceId, other: SourceId) -> bool {
        self.sees[file.0 as usize].contains(&other)
    }

    /// A name as the compiled file writes it, and as states and `--set` know it.
    pub(super) fn public(&self, name: &Name) -> String {
        format!("{}{}", self.prefixes[name.span.source.0 as usize], name.node)
    }
}

fn visible(sees: &[BTreeSet<SourceId>], binding: &Binding, file: SourceId) -> bool {
    // What a file calls an import is its own business.
    if matches!(binding.meaning, Meaning::Import(_)) {
        return binding.files.contains(&file);
    }
    binding.files.iter().any(|of| sees[file.0 as usize].contains(of))
}

/// The files that each import leads to, with the name it gives them.
fn imports(bundle: &Bundle, from: SourceId) -> impl Iterator<Item = (SourceId, Option<&str>)> {
    bundle.file(from).statements.iter().filter_map(|statement| {
        let StatementKind::Import { alias, .. } = &statement.kind else { return None };
        let target = *bundle.imports.get(&statement.span)?;
        Some((target, alias.as_ref().map(|alias| alias.node.as_str())))
    })
}

fn reached(file: SourceId, bundle: &Bundle) -> BTreeSet<SourceId> {
    let mut reached = BTreeSet::from([file]);
    let mut open = vec![file];
    while let Some(from) = open.pop() {
        for (target, alias) in imports(bundle, from) {
            if alias.is_none() && reached.insert(target) {
                open.push(target);
            }
        }
    }
    reached
}

/// For each file, the shortest chain of names by which the compiled file reaches it; of several the first.
fn prefixes(bundle: &Bundle) -> Vec<String> {
    let mut prefixes: Vec<Option<String>> = vec![None; bundle.files.len()];
    let mut open = VecDeque::from([(SourceId(0), String::new())]);
    while !open.is_empty() {
        let mut behind_another = VecDeque::new();
        while let Some((file, prefix)) = open.pop_front() {
            let known = &mut prefixes[file.0 as usize];
            if known.is_some() {
                continue;
            }
            *known = Some(prefix.clone());
            for (target, alias) in imports(bundle, file) {
                match alias {
                    None => open.push_back((target, prefix.clone())),
                    Some(alias) => behind_another.push_back((target, format!("{prefix}{alias}."))),
                }
            }
        }
        open = behind_another;
    }
    prefixes.into_iter().map(Option::unwrap_or_default).collect()
}
