//! After any edits, every answer of the language server has places that exist, and says what a server would that meets the
//! text for the first time.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use session::{Edit, LIB, PIECES, Session};
use std::sync::LazyLock;
use tempfile::TempDir;

#[path = "../../lsp/tests/it/answers.rs"]
mod answers;
#[expect(dead_code, reason = "the tests of the server use more of it")]
#[path = "../../lsp/tests/it/client.rs"]
mod client;
#[path = "../../lsp/tests/it/session.rs"]
mod session;

/// A folder with the file that texts import.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for the files");
    std::fs::write(folder.path().join("lib.aent"), LIB).expect("a file in it");
    folder
});

/// An edit in few bytes, so that the fuzzer changes one thing at a time.
#[derive(Arbitrary, Debug)]
struct Change {
    line: u8,
    column: u8,
    lines: u8,
    to: u8,
    request: u8,
    text: Text,
}

#[derive(Arbitrary, Debug)]
enum Text {
    Nothing,
    Piece(u8),
    Any(String),
}

impl From<Change> for Edit {
    fn from(of: Change) -> Self {
        Self {
            from: (of.line.into(), of.column.into()),
            lines: (of.lines % 4).into(),
            to: of.to.into(),
            text: match of.text {
                Text::Nothing => String::new(),
                Text::Piece(number) => PIECES[usize::from(number) % PIECES.len()].to_owned(),
                Text::Any(text) => text,
            },
            request: of.request.into(),
        }
    }
}

fuzz_target!(|changes: Vec<Change>| {
    let folder = FOLDER.path();
    let file = client::uri(&folder.join("main.aent"));
    let mut session = Session::new(folder, &file, &PIECES[..12].concat());
    for change in changes {
        session.edit(&change.into());
    }
    let mut fresh = Session::new(folder, &file, &session.text);
    assert_eq!(session.answers(), fresh.answers(), "{}", session.text);
    fresh.client.end();
    session.client.end();
});
