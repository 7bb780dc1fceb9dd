//! What a client sets: the size of the model that code lenses reckon with, and what it can show.

use crate::positions::Encoding;
use aent_show::Size;
use lsp_types::{ClientCapabilities, PositionEncodingKind};
use serde::Deserialize;

/// The settings under `aent`, as `initializationOptions` or with `workspace/didChangeConfiguration`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Settings {
    /// The size of a step, for its memory.
    pub(crate) size: StepSize,
}

/// The size of a step; by default as `aent explain` has it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct StepSize {
    sequences: u64,
    length: u64,
    vocabulary: u64,
    candidates: u64,
}

impl Default for StepSize {
    fn default() -> Self {
        Self { sequences: 8, length: 1024, vocabulary: 151_936, candidates: 64 }
    }
}

impl From<StepSize> for Size {
    fn from(of: StepSize) -> Self {
        // As for the arguments of `aent explain`, so that products do not overflow.
        let within = |value: u64| value.clamp(1, 1 << 32);
        Self {
            sequences: within(of.sequences),
            length: within(of.length),
            vocabulary: within(of.vocabulary),
            candidates: within(of.candidates),
        }
    }
}

/// What a client can show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Client {
    /// How it counts columns.
    pub(crate) encoding: Encoding,
    /// Whether completions may have places to fill in.
    pub(crate) snippets: bool,
    /// Whether it can be asked to watch files.
    pub(crate) watches: bool,
}

impl Client {
    /// What a client says of itself.
    pub(crate) fn new(of: &ClientCapabilities) -> Self {
        let encodings = of.general.as_ref().and_then(|general| general.position_encodings.as_ref());
        let first = encodings.and_then(|all| all.first());
        let completion = of.text_document.as_ref().and_then(|of| of.completion.as_ref());
        let item = completion.and_then(|of| of.completion_item.as_ref());
        let watched = of.workspace.as_ref().and_then(|of| of.did_change_watched_files.as_ref());
        Self {
            encoding: if first == Some(&PositionEncodingKind::UTF8) {
                Encoding::Utf8
            } else {
                Encoding::Utf16
            },
            snippets: item.and_then(|of| of.snippet_support).unwrap_or(false),
            watches: watched.and_then(|of| of.dynamic_registration).unwrap_or(false),
        }
    }
}
