//! The explanations of diagnostics, one at a time or as one document.

use aent::diag::codes::{CODES, Code};
use std::fmt::Write as _;

/// The explanation of one diagnostic, as Markdown.
pub(super) fn page(code: &Code) -> String {
    format!("# {} ({})\n\n{}\n", code.id, kind(code), code.explanation.trim())
}

/// All explanations, as one Markdown document.
pub(super) fn all() -> String {
    let mut out = String::from(
        "# Diagnostics\n\n\
         Everything that `aent check` can say of a file. An error keeps the file from running. A lint is a warning: the file \
         runs, but probably does not do what its author wants. It is silenced with `# aent: allow(ID)` behind or above a \
         statement, or with `# aent: allow-file(ID)` for a whole file. `aent explain ID` shows one of these sections.\n\n\
         This page is written by `cargo xtask docs` from the explanations in `src/diag/codes`.\n",
    );
    for code in CODES {
        // Writing into a string cannot fail.
        let _ = write!(out, "\n## {}\n\n*{}*\n\n{}\n", code.id, kind(code), code.explanation.trim());
    }
    out
}

fn kind(code: &Code) -> &'static str {
    if code.is_lint { "lint" } else { "error" }
}
