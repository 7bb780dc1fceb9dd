//! How diagnostics, checked programs and registered terms are shown: to people as text, to programs as JSON.
//!
//! The library gives them as plain data. The command line and the Python package show them with
//! this crate, so that the same file is answered with the same words wherever it is used.

mod diagnostics;
mod explain;
mod terms;

pub use diagnostics::{Colour, json, remark, sentence, text};
pub use explain::{Size, explain};
pub use terms::{reference, table, term, terms};
