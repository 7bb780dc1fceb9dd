//! The texts that the editor has open.

use crate::positions::{Encoding, Lines};
use crate::uri;
use lsp_types::{TextDocumentContentChangeEvent, Uri};
use std::path::PathBuf;
use std::sync::Arc;

/// An open text.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// How the client names it.
    pub(crate) uri: Uri,
    /// The path in that name.
    pub(crate) path: PathBuf,
    /// The client's number for this text.
    pub(crate) version: i32,
    /// The text.
    pub(crate) text: Arc<str>,
}

impl Document {
    /// Applies changes in their order.
    pub(crate) fn change(&mut self, changes: Vec<TextDocumentContentChangeEvent>, encoding: Encoding) {
        let mut text = self.text.to_string();
        for change in changes {
            match change {
                TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => {
                    text = whole.text;
                }
                TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                    let lines = Lines::new(&text, encoding);
                    let start = lines.offset(&text, part.range.start);
                    let end = lines.offset(&text, part.range.end).max(start);
                    text.replace_range(start..end, &part.text);
                }
            }
        }
        self.text = text.into();
    }
}

/// The path that a client's name means. A text that no file has yet, such as `untitled:Untitled-1`, lies in the folder
/// that paths begin at, under a name that no file has.
pub(crate) fn path_of(uri: &Uri) -> PathBuf {
    uri::to_path(uri).unwrap_or_else(|| PathBuf::from(uri.0.replace(['/', '\\'], "_")))
}
