//! Text to tree and back.
//!
//! [`parse`] reads a whole file and answers everything that is wrong with it; [`print()`] writes a tree in
//! the one canonical layout. Neither knows what a name means.

pub mod ast;
mod build;
mod layout;
mod lexical;
mod number;
mod precedence;
mod print;
mod row;
mod scan;
mod statements;
mod wording;

pub use print::print;

use crate::diag::Diagnostics;
use crate::span::SourceId;

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 19;

/// The most words, numbers and symbols that are read in one file.
pub const MAX_TOKENS: usize = 1 << 14;

/// The most words, numbers and symbols in one statement.
pub const MAX_STATEMENT_TOKENS: usize = 1 << 12;

/// The most parentheses one inside the other.
pub const MAX_NESTING: usize = 128;

/// The most expressions one inside the other; a sum of `n` terms has height `n`.
///
/// Every pass over the tree may recurse this deep, on a test thread's stack and without optimisation.
pub const MAX_HEIGHT: usize = 256;

/// The most syntax errors that are told of one file.
pub const MAX_ERRORS: usize = 64;

/// Parses a file. The tree holds the statements that are right; the diagnostics, what is wrong with the
/// others.
///
/// Never panics and never recurses deeper than the limits above, whatever the text.
pub fn parse(source: SourceId, text: &str) -> (ast::File, Diagnostics) {
    statements::parse(source, text)
}
