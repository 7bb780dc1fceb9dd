//! Renders diagnostics for this terminal, in colour if it shows colours or `--color` asks for them.

use aent::diag::{Diagnostics, Severity};
use aent::source::Sources;
use aent_show::Colour;
use anstream::AutoStream;
use anstream::stream::RawStream;
use clap::ColorChoice;
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

/// Takes the choice of `--color`; `auto` respects terminals, `NO_COLOR`, `CLICOLOR_FORCE` and `TERM=dumb`.
pub(crate) fn choose(color: ColorChoice) {
    let choice = match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Whether a stream is written in colour.
pub(crate) fn is_coloured(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != anstream::ColorChoice::Never
}

fn colour() -> Colour {
    if is_coloured(&io::stderr()) { Colour::Terminal } else { Colour::Plain }
}
