//! Edits and requests in any order, for the property test beside and for the fuzz target `serve`.

use crate::answers;
use crate::client::Client;
use lsp_types::Uri;
use serde_json::{Value, json};
use std::path::Path;

/// Pieces that texts are made of: whole statements, and what breaks them.
pub(crate) const PIECES: [&str; 28] = [
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

/// The file that texts import as `lib.aent`.
pub(crate) const LIB: &str = "fn twice(x) = 2 * x\nparam cap = 3\n";

/// Requests about a place.
pub(crate) const AT_PLACES: [&str; 11] = [
    "textDocument/hover",
    "textDocument/completion",
    "textDocument/signatureHelp",
    "textDocument/definition",
    "textDocument/references",
    "textDocument/documentHighlight",
    "textDocument/prepareRename",
    "textDocument/rename",
    "textDocument/selectionRange",
    "textDocument/rangeFormatting",
    "textDocument/semanticTokens/range",
];

/// Requests about a whole text.
const OF_TEXTS: [&str; 7] = [
    "textDocument/documentSymbol",
    "textDocument/foldingRange",
    "textDocument/codeLens",
    "textDocument/formatting",
    "textDocument/codeAction",
    "textDocument/inlayHint",
    "textDocument/semanticTokens/full",
];

/// Replaces a part of the text, which may begin in the middle of a pair of UTF-16 units, and asks about its start.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// Line and column where it begins.
    pub(crate) from: (u32, u32),
    /// How many lines further it ends.
    pub(crate) lines: u32,
    /// The column where it ends.
    pub(crate) to: u32,
    /// What stands there from now on.
    pub(crate) text: String,
    /// Which of [`AT_PLACES`] is asked then.
    pub(crate) request: usize,
}

/// An editor with one text, which knows what the server should have.
pub(crate) struct Session {
    /// The editor.
    pub(crate) client: Client,
    /// The text as it should be.
    pub(crate) text: String,
    file: Uri,
}

impl Session {
    /// Opens a text under this name, in this folder.
    pub(crate) fn new(folder: &Path, file: &Uri, text: &str) -> Self {
        let mut client = Client::new(folder);
        client.open(file, text);
        Self { client, text: text.to_owned(), file: file.clone() }
    }

    /// Edits the text, and checks every answer about it.
    pub(crate) fn edit(&mut self, edit: &Edit) {
        // An editor never sends an end before the start.
        if edit.lines == 0 && edit.to < edit.from.1 {
            return;
        }
        let change = json!({
            "range": {
                "start": { "line": edit.from.0, "character": edit.from.1 },
                "end": { "line": edit.from.0 + edit.lines, "character": edit.to },
            },
            "text": edit.text,
        });
        self.text = applied(&self.text, edit);
        self.client.change(&self.file, &change);
        let method = AT_PLACES[edit.request % AT_PLACES.len()];
        let answer = self.ask(method, edit.from);
        if let Err(sentence) = answer {
            assert!(method == "textDocument/rename" && !sentence.contains("panic"), "{method}: {sentence}");
        }
        self.answers();
    }

    /// What the server says of the whole text.
    pub(crate) fn answers(&mut self) -> Vec<Value> {
        let answers = OF_TEXTS.iter().map(|method| (method, self.ask(method, (0, 0))));
        answers
            .map(|(method, answer)| answer.unwrap_or_else(|sentence| panic!("{method}: {sentence}")))
            .collect()
    }

    fn ask(&mut self, method: &str, (line, character): (u32, u32)) -> Result<Value, String> {
        let at = json!({ "line": line, "character": character });
        let is_whole = OF_TEXTS.contains(&method);
        let end = json!({ "line": if is_whole { u32::MAX } else { line + 3 }, "character": 0 });
        let params = json!({
            "textDocument": { "uri": self.file },
            "position": at,
            "positions": [at],
            "range": { "start": at, "end": end },
            "context": { "diagnostics": [], "includeDeclaration": true, "triggerKind": 1, "isRetrigger": false },
            "options": { "tabSize": 4, "insertSpaces": true },
            "newName": "renamed",
        });
        let answer = self.client.request(method, params)?;
        answers::check(method, &answer, &self.file, &self.text);
        Ok(answer)
    }
}

/// The same text as the server should have, by an own rule: UTF-16 units counted from the start of a line.
fn applied(text: &str, edit: &Edit) -> String {
    let lines = answers::lines(text);
    let offset = |line: u32, column: u32| -> usize {
        let Some((start, line)) = lines.get(line as usize) else { return text.len() };
        let mut left = column;
        let mut end = *start;
        for character in line.chars() {
            let width = character.len_utf16() as u32;
            if left < width {
                break;
            }
            left -= width;
            end += character.len_utf8();
        }
        end
    };
    let (start, end) = (offset(edit.from.0, edit.from.1), offset(edit.from.0 + edit.lines, edit.to));
    format!("{}{}{}", &text[..start], edit.text, &text[end.max(start)..])
}
