//! The names of a program. Nothing shadows anything.

use super::Value;
use crate::span::Span;
use crate::syntax::ast::{Expr, FnParam};
use std::collections::BTreeMap;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// A `let`, `param`, `input` or `controller`.
    Value(Value),
    /// A `fn`, by its number.
    Function(usize),
    /// Something that failed to check; its uses are not blamed again.
    Poisoned,
}

/// A name and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub meaning: Meaning,
    /// `let`, `param`, `input`, `controller` or `fn`.
    pub keyword: &'static str,
    pub span: Span,
    pub used: bool,
}

/// A `fn` statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function<'a> {
    pub name: &'a str,
    pub params: &'a [FnParam],
    pub body: &'a Expr,
}

/// All names given so far.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub names: BTreeMap<&'a str, Binding>,
    pub functions: Vec<Function<'a>>,
    /// Names that a statement further down gives, with the place, for a better message.
    pub later: BTreeMap<&'a str, Span>,
}
