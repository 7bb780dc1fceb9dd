//! Parses text to a tree, and prints a tree as text.
//!
//! [`parse`] reads a whole file and reports all its syntax errors; [`print()`] writes a tree in its one canonical
//! layout; [`tokens()`] tells what to colour in a text, and [`pieces()`] cuts it into statements even where it is broken.
//! None of them knows what a name means.

pub mod ast;
mod build;
mod habits;
mod layout;
mod lexical;
mod number;
mod pieces;
mod precedence;
mod print;
mod remarks;
mod row;
mod scan;
mod statements;
mod tokens;
mod wording;

pub use pieces::pieces;
pub use print::print;
pub use remarks::comment_above;
pub use tokens::{Token, tokens};

use crate::diag::Diagnostics;
use crate::span::SourceId;

/// The largest file accepted, in bytes.
pub const MAX_BYTES: usize = 1 << 19;

/// The most words, numbers and symbols in one file.
pub const MAX_TOKENS: usize = 1 << 14;

/// The most words, numbers and symbols in one statement.
pub const MAX_STATEMENT_TOKENS: usize = 1 << 12;

/// The deepest nesting of parentheses.
pub const MAX_NESTING: usize = 128;

/// The deepest nesting of expressions; a sum of `n` terms has height `n`.
///
/// Every pass over the tree may recurse this deep, on a test thread's stack and without optimisation.
pub const MAX_HEIGHT: usize = 256;

/// The most syntax errors reported for one file.
pub const MAX_ERRORS: usize = 64;

/// Parses a file. The tree contains the correct statements; the diagnostics explain what is wrong with the others.
///
/// Never panics and never recurses deeper than the limits above, for any text.
pub fn parse(source: SourceId, text: &str) -> (ast::File, Diagnostics) {
    statements::parse(source, text)
}
