//! Shows diagnostics, checked programs and registered terms: as text for people, as JSON for programs.
//!
//! The library returns them as plain data. The command line and the Python package both use this crate, so that the
//! same file gives the same words everywhere.

mod diagnostics;
mod explain;
mod terms;

pub use diagnostics::{Colour, json, remark, sentence, text};
pub use explain::{Size, explain};
pub use terms::{reference, table, term, terms};
