//! Random edits and requests: the server must live on, and show what a fresh check of the same text finds.

use crate::client::{Client, uri};
use crate::findings::{checked, shown};
use lsp_types::Uri;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use std::fs;

/// Pieces that texts are made of: whole statements, and what breaks them.
const PIECES: [&str; 28] = [
    "param eps = 0.2 in 0 .. 1\n",
    "input w: token\n",
    "let ratio = exp(log_prob - old_log_prob)\n",
    "let policy = clip_ppo(low = eps, high = 0.28)\n",
    "controller beta = band(signal = token_mean(entropy()), target = 0.1 .. 0.5)\n",
    "fn half(x, by = 0.5) = by * x\n",
    "fn parts(x) {\n    let a = exp(x)\n    extra kept = a > 1\n    return a\n}\n",
    "loss = token_mean(policy) - beta * token_mean(entropy())\n",
    "metric clip = token_mean(policy.clipped)\n",
    "import \"std/kl.aent\"\n",
    "import \"lib.aent\" as lib\n",
    "assert step >= 0, \"β steps\"\n",
    "# a comment with 🙂\n",
    "lib.twice(",
    "k3(ref_log_prob)",
    "(",
    ")",
    "{",
    "}",
    ",",
    "=",
    ".",
    "\"",
    "\n",
    "\r\n",
    "β",
    "🙂",
    " let ",
];

/// Requests about a place.
const REQUESTS: [&str; 12] = [
    "textDocument/hover",
    "textDocument/completion",
    "textDocument/signatureHelp",
    "textDocument/definition",
    "textDocument/references",
    "textDocument/documentHighlight",
    "textDocument/prepareRename",
    "textDocument/rename",
    "textDocument/selectionRange",
    "textDocument/codeAction",
    "textDocument/inlayHint",
    "textDocument/semanticTokens/full",
];

/// Replaces a part of the text, which may begin in the middle of a pair of UTF-16 units.
#[derive(Clone, Debug)]
struct Edit {
    from: (u32, u32),
    lines: u32,
    to: u32,
    text: String,
    request: usize,
}

fn edit() -> impl Strategy<Value = Edit> {
    let text = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..3).prop_map(|all| all.concat());
    ((0..12_u32, 0..50_u32), 0..2_u32, 0..50_u32, text, 0..REQUESTS.len())
        .prop_map(|(from, lines, to, text, request)| Edit { from, lines, to, text, request })
}

/// The same text as the server should have, by an own rule: UTF-16 units counted from the start of a line.
fn applied(text: &str, edit: &Edit) -> String {
    let offset = |line: u32, column: u32| -> usize {
        let mut at = 0;
        for _ in 0..line {
            let rest = &text[at..];
            match rest.find(['\n', '\r']) {
                Some(end) => at += end + if rest[end..].starts_with("\r\n") { 2 } else { 1 },
                None => return text.len(),
            }
        }
        let mut left = column;
        for character in text[at..].chars() {
            let width = character.len_utf16() as u32;
            if matches!(character, '\n' | '\r') || left < width {
                break;
            }
            left -= width;
            at += character.len_utf8();
        }
        at
    };
    let (start, end) = (offset(edit.from.0, edit.from.1), offset(edit.from.0 + edit.lines, edit.to));
    format!("{}{}{}", &text[..start], edit.text, &text[end.max(start)..])
}

fn ask(client: &mut Client, file: &Uri, edit: &Edit) {
    let (line, character) = edit.from;
    let at = json!({ "line": line, "character": character });
    let params = json!({
        "textDocument": { "uri": file },
        "position": at,
        "positions": [at],
        "range": { "start": at, "end": { "line": line + 3, "character": 0 } },
        "context": { "diagnostics": [], "includeDeclaration": true, "triggerKind": 1, "isRetrigger": false },
        "newName": "renamed",
    });
    let method = REQUESTS[edit.request];
    if let Err(sentence) = client.request(method, params) {
        assert!(method == "textDocument/rename" && !sentence.contains("panic"), "{method}: {sentence}");
    }
    for method in ["documentSymbol", "foldingRange", "codeLens", "formatting"] {
        let params =
            json!({ "textDocument": { "uri": file }, "options": { "tabSize": 4, "insertSpaces": true } });
        client.request(&format!("textDocument/{method}"), params).unwrap();
    }
}

#[test]
fn after_any_edits_the_server_shows_what_a_fresh_check_finds() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.aent");
    fs::write(folder.path().join("lib.aent"), "fn twice(x) = 2 * x\nparam cap = 3\n").unwrap();
    fs::write(&main, "").unwrap();
    let file = uri(&main);
    let mut runner = TestRunner::new(Config { cases: 64, ..Config::default() });
    let strategy = prop::collection::vec(edit(), 1..12);
    runner
        .run(&strategy, |edits| {
            let mut client = Client::new(folder.path());
            let mut text: String = PIECES[..12].concat();
            client.open(&file, &text);
            for edit in &edits {
                let change = json!({
                    "range": {
                        "start": { "line": edit.from.0, "character": edit.from.1 },
                        "end": { "line": edit.from.0 + edit.lines, "character": edit.to },
                    },
                    "text": edit.text,
                });
                // An editor never sends an end before the start.
                if edit.lines == 0 && edit.to < edit.from.1 {
                    continue;
                }
                text = applied(&text, edit);
                client.change(&file, &change);
                ask(&mut client, &file, edit);
            }
            client.settle();
            fs::write(&main, &text).unwrap();
            let (shown, checked) = (shown(&client), checked(folder.path()));
            client.end();
            prop_assert_eq!(shown, checked, "{}", text);
            Ok(())
        })
        .unwrap();
}
