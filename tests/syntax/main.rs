//! Text to tree and back: messages, precedence, layout, and answers to hostile input.

mod errors;
mod hostile;
mod layout;
mod precedence;
mod round_trip;
mod shape;
mod suite;

use aent::diag::Diagnostic;
use aent::span::SourceId;
use aent::syntax::{ast::File, parse, print};

/// The tree of a text that is right.
fn tree(text: &str) -> File {
    let (file, diagnostics) = parse(SourceId(0), text);
    assert!(diagnostics.is_empty(), "{text}\n{diagnostics:?}");
    file
}

/// The canonical layout of a text that is right.
fn printed(text: &str) -> String {
    print(&tree(text), text)
}

/// What is wrong with a text.
fn errors(text: &str) -> Vec<Diagnostic> {
    parse(SourceId(0), text).1.into_iter().collect()
}
