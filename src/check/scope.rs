//! The names of a program, and which file sees which. There is no shadowing.

use super::Value;
use crate::load::Bundle;
use crate::span::{SourceId, Span};
use crate::syntax::ast::{Expr, FnParam};
use std::collections::{BTreeMap, BTreeSet};

/// The meaning of a name.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// A `let`, `param`, `input` or `controller`.
    Value(Value),
    /// A `fn`, by its index.
    Function(usize),
    /// A statement that failed to check; its uses are not reported again.
    Poisoned,
}

/// A name and where it is defined.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub meaning: Meaning,
    /// `let`, `param`, `input`, `controller` or `fn`.
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
    pub body: &'a Expr,
}

/// All names defined so far.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// Names are unique across files, so that an importing file can use all of them.
    pub names: BTreeMap<&'a str, Binding>,
    pub functions: Vec<Function<'a>>,
    /// Names defined further down, with their places, for better messages.
    pub later: BTreeMap<&'a str, Span>,
    /// For each file, itself and all that it imports, directly or indirectly.
    sees: Vec<BTreeSet<SourceId>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(bundle: &Bundle) -> Self {
        let files = bundle.files.iter().map(|file| file.source);
        let sees = files.map(|file| reached(file, bundle)).collect();
        Self { names: BTreeMap::new(), functions: Vec::new(), later: BTreeMap::new(), sees }
    }

    /// Looks up a name in a file, which sees its own names and those of the files it imports. A library function
    /// therefore never reads a name of the file that calls it.
    pub(super) fn find(&mut self, name: &str, file: SourceId) -> Option<&mut Binding> {
        let binding = self.names.get_mut(name)?;
        binding.files.iter().any(|of| self.sees[file.0 as usize].contains(of)).then_some(binding)
    }

    /// Where a name is defined further down, if the file sees it.
    pub(super) fn find_later(&self, name: &str, file: SourceId) -> Option<Span> {
        self.later.get(name).copied().filter(|span| self.sees(file, span.source))
    }

    /// The names of values that a file sees.
    pub(super) fn visible_values(&self, file: SourceId) -> impl Iterator<Item = &'a str> {
        let seen = self.names.iter().filter(move |(_, of)| of.files.iter().any(|of| self.sees(file, *of)));
        seen.filter(|(_, of)| !matches!(of.meaning, Meaning::Function(_))).map(|(name, _)| *name)
    }

    /// Whether one file sees the names of another.
    pub(super) fn sees(&self, file: SourceId, other: SourceId) -> bool {
        self.sees[file.0 as usize].contains(&other)
    }
}

fn reached(file: SourceId, bundle: &Bundle) -> BTreeSet<SourceId> {
    let mut reached = BTreeSet::from([file]);
    let mut open = vec![file];
    while let Some(from) = open.pop() {
        for (span, target) in &bundle.imports {
            if span.source == from && reached.insert(*target) {
                open.push(*target);
            }
        }
    }
    reached
}
