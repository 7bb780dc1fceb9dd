//! Renders diagnostics for this terminal, in colour if standard error shows colours.

use aent::diag::{Diagnostics, Severity};
use aent::source::Sources;
use aent_show::Colour;
use std::io;

/// All diagnostics as text, with their source lines.
pub(crate) fn human(found: &Diagnostics, sources: &Sources) -> String {
    aent_show::text(found, sources, colour())
}

/// A sentence in the style of a diagnostic, for errors outside of a text.
pub(crate) fn sentence(text: &str) -> String {
    aent_show::sentence(text, colour())
}

/// The same for a harmless remark.
#[cfg(feature = "eval")]
pub(crate) fn remark(text: &str) -> String {
    aent_show::remark(text, colour())
}

/// How many errors and warnings there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Errors.
    pub(crate) errors: usize,
    /// Warnings.
    pub(crate) warnings: usize,
}

impl Counts {
    /// Counts the diagnostics of a run.
    pub(crate) fn add(&mut self, found: &Diagnostics) {
        for item in found {
            match item.severity {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
            }
        }
    }
}

/// `1 file`, `2 files`
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn colour() -> Colour {
    // The stream respects terminals, `NO_COLOR`, `CLICOLOR_FORCE` and `TERM=dumb`.
    match anstream::AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => Colour::Plain,
        _ => Colour::Terminal,
    }
}
