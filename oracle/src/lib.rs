//! A second implementation of the language `.aent`, which judges the first.
//!
//! It is written from `docs/language.md`, `docs/terms.md` and the texts of the standard library alone, and shares no code with
//! the crate `aent`: its own lexer and parser, an interpreter that goes over the tree value by value, and a tape of scalars for
//! gradients. It knows nothing of fused kernels, passes or micro-batches. It is slow, and checks nothing that `aent check` checks:
//! a program that it is given is taken to be right.
//!
//! [`Program`] is a text that was read, [`Session`] has the controllers' states, and [`Step`] is what a step of it gives.

mod args;
mod batch;
mod control;
mod fields;
mod functions;
mod lexer;
mod parser;
mod reductions;
mod run;
mod session;
mod tape;
mod terms;
mod tree;
mod value;

pub use batch::{Batch, Numbers};
pub use session::{Session, Step};
pub use tape::Noise;
pub use tree::{Literal, Program};

use std::fmt;

/// Why a program or a step has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text, a name or an argument is not of the language, or the batch lacks a field.
    Wrong(String),
    /// The documents leave the result open, such as which tokens a random choice takes.
    Unspecified(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(words) => write!(f, "{words}"),
            Self::Unspecified(words) => write!(f, "not specified: {words}"),
        }
    }
}

impl std::error::Error for Error {}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error with its words.
pub(crate) fn wrong<T>(words: impl Into<String>) -> Result<T> {
    Err(Error::Wrong(words.into()))
}
