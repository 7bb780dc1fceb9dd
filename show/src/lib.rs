//! Shows diagnostics, checked programs and registered terms: as text for people, as JSON for programs.
//!
//! The library returns them as plain data. The command line and the Python package both use this crate, so that the
//! same file gives the same words everywhere.

mod diagnostics;
mod explain;
mod findings;
mod sarif;
mod terms;

pub use diagnostics::{Colour, remark, sentence, text};
pub use explain::{Size, explain, explain_json, one_line};
pub use findings::{github, json, lines};
pub use sarif::{sarif, sarif_log};
pub use terms::{
    Search, body, call, first_sentence, of_file, parameter, reference, signature, summary, table, term, terms,
};
