//! What the names of a text are there for, and what they mean.

mod reader;
mod scope;
mod symbol;
mod words;

pub(crate) use scope::Scope;
pub(crate) use symbol::{Argument, Definition, Symbol, tensors};
pub(crate) use words::{Call, Kind, Role, Statement, Word, part};

use aent::span::SourceId;
use aent::syntax::pieces;

/// The statements of a text, broken ones among them.
pub(crate) fn statements(source: SourceId, text: &str) -> Vec<Statement> {
    pieces(source, text).into_iter().map(|tokens| Statement::read(text, tokens)).collect()
}

#[cfg(test)]
mod tests;
