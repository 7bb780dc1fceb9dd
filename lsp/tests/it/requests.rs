//! Questions in the comments of files in `tests/it/requests`, and their answers.

use crate::client::{Client, uri};
use crate::marked::marked;
use lsp_types::{Position, Uri};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;

#[test]
fn questions_in_comments_are_answered() {
    insta::glob!("requests/*.aent", |path| {
        let written = fs::read_to_string(path).unwrap();
        let marked = marked(&written);
        let folder = tempfile::tempdir().unwrap();
        // The others are there to be imported.
        for other in fs::read_dir(path.parent().unwrap()).unwrap() {
            let other = other.unwrap().path();
            let text = super::marked::marked(&fs::read_to_string(&other).unwrap()).text;
            fs::write(folder.path().join(other.file_name().unwrap()), text).unwrap();
        }
        let mut client = Client::new(folder.path());
        let file = uri(&folder.path().join(path.file_name().unwrap()));
        client.open(&file, &marked.text);
        client.settle();
        let lines: Vec<&str> = marked.text.lines().collect();
        let mut out = String::new();
        for (position, question) in &marked.questions {
            let line = lines.get(position.line as usize).copied().unwrap_or_default();
            if question.contains("whole") || position.character == 0 {
                let _ = writeln!(out, "> {question}");
            } else {
                let _ = writeln!(
                    out,
                    "{line}\n{:>width$} {question}",
                    "^",
                    width = position.character as usize + 1
                );
            }
            let answer = answer(&mut client, &file, *position, question, &marked.text);
            for line in answer.lines() {
                let _ = writeln!(out, "    {line}");
            }
            out.push('\n');
        }
        client.end();
        let root = uri(folder.path()).0;
        let cache = uri(&std::env::temp_dir().join("aent-lsp-tests")).0;
        let out = out.replace(&format!("{root}/"), "").replace(&cache, "CACHE");
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(out);
        });
    });
}

/// The answer to a question, in as few words as it can be checked with.
fn answer(client: &mut Client, file: &Uri, position: Position, question: &str, text: &str) -> String {
    let document = json!({ "uri": file });
    let at = json!({ "textDocument": document, "position": position });
    let whole = json!({ "textDocument": document });
    let everything =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 9999, "character": 0 } });
    let (question, rest) = question.split_once(' ').unwrap_or((question, ""));
    let mut ask = |method: &str, params: Value| match client.request(method, params) {
        Ok(value) => value,
        Err(sentence) => json!(format!("refused: {sentence}")),
    };
    match question {
        "hover" => {
            let hover = ask("textDocument/hover", at);
            match hover["contents"]["value"].as_str() {
                Some(text) => format!("{}\n{}", range(&hover["range"]), abridged(text)),
                None => "nothing".to_owned(),
            }
        }
        "definition" => places(&ask("textDocument/definition", at)),
        "references" => {
            let mut params = at;
            params["context"] = json!({ "includeDeclaration": true });
            places(&ask("textDocument/references", params))
        }
        "highlights" => places(&ask("textDocument/documentHighlight", at)),
        "rename" => {
            let mut params = at;
            params["newName"] = json!(rest);
            edits(&ask("textDocument/rename", params))
        }
        "prepare" => ask("textDocument/prepareRename", at).to_string(),
        "complete" => completions(&ask("textDocument/completion", at), rest),
        "signature" => signature(&ask("textDocument/signatureHelp", at)),
        "fixes" => {
            let range = json!({ "start": position, "end": position });
            let params =
                json!({ "textDocument": document, "range": range, "context": { "diagnostics": [] } });
            fixes(&ask("textDocument/codeAction", params))
        }
        "select" => {
            let params = json!({ "textDocument": document, "positions": [position] });
            let mut out = String::new();
            let answer = ask("textDocument/selectionRange", params);
            let mut next = &answer[0];
            while next.is_object() {
                let _ = writeln!(out, "{}", range(&next["range"]));
                next = &next["parent"];
            }
            out
        }
        "symbols" => symbols(&ask("textDocument/documentSymbol", whole), 0),
        "find" => {
            let found = ask("workspace/symbol", json!({ "query": rest }));
            let line = |of: &Value| {
                format!("{} in {} {}", of["name"], of["location"]["uri"], range(&of["location"]["range"]))
            };
            found.as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
        }
        "fold" => {
            let found = ask("textDocument/foldingRange", whole);
            let line = |of: &Value| {
                format!("{} .. {} {}", of["startLine"], of["endLine"], of["kind"].as_str().unwrap_or(""))
            };
            found.as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
        }
        "format" => edits(&ask(
            "textDocument/formatting",
            json!({ "textDocument": document, "options": { "tabSize": 4, "insertSpaces": true } }),
        )),
        "hints" => {
            let found =
                ask("textDocument/inlayHint", json!({ "textDocument": document, "range": everything }));
            let line =
                |of: &Value| format!("{}: {}", place(&of["position"]), of["label"].as_str().unwrap_or(""));
            found.as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
        }
        "tokens" => tokens(&ask("textDocument/semanticTokens/full", whole), text),
        "lenses" => {
            let found = ask("textDocument/codeLens", whole);
            let line = |of: &Value| {
                format!("{}: {}", range(&of["range"]), of["command"]["title"].as_str().unwrap_or(""))
            };
            found.as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
        }
        "findings" => {
            let shown = client.shown.get(file).cloned().unwrap_or_default();
            shown.iter().map(|of| finding(&json!(of))).collect::<Vec<_>>().join("\n")
        }
        other => panic!("nobody knows the question `{other}`"),
    }
}

/// The beginning and the end of a text. What a term's page says between them is tested where it is made.
fn abridged(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [first @ .., _, last] if lines.len() > 20 => format!("{}\n...\n{last}", first[..6].join("\n")),
        _ => text.to_owned(),
    }
}

fn finding(of: &Value) -> String {
    let mut out = format!(
        "{} {}: {}",
        range(&of["range"]),
        of["code"].as_str().unwrap(),
        of["message"].as_str().unwrap()
    );
    for related in of["relatedInformation"].as_array().into_iter().flatten() {
        let location = &related["location"];
        let uri = location["uri"].as_str().unwrap();
        let _ = write!(
            out,
            "\nsee {uri} {}: {}",
            range(&location["range"]),
            related["message"].as_str().unwrap()
        );
    }
    let _ = write!(out, "\npage {}", of["codeDescription"]["href"].as_str().unwrap_or("none"));
    out
}

fn place(of: &Value) -> String {
    format!("{}:{}", of["line"], of["character"])
}

fn range(of: &Value) -> String {
    format!("{}-{}", place(&of["start"]), place(&of["end"]))
}

fn places(of: &Value) -> String {
    match of {
        Value::Array(all) => {
            let line = |of: &Value| {
                format!("{} {}", of["uri"].as_str().unwrap_or(""), range(&of["range"])).trim().to_owned()
            };
            all.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

fn edits(of: &Value) -> String {
    if let Some(sentence) = of.as_str() {
        return sentence.to_owned();
    }
    let edit = |edit: &Value| format!("{} {}", range(&edit["range"]), edit["newText"]);
    let mut out = Vec::new();
    if let Some(changes) = of["changes"].as_object() {
        let mut files: Vec<_> = changes.iter().collect();
        files.sort_by_key(|(uri, _)| *uri);
        for (uri, all) in files {
            out.extend(all.as_array().unwrap().iter().map(|of| format!("{uri} {}", edit(of))));
        }
    }
    out.extend(of.as_array().into_iter().flatten().map(edit));
    if out.is_empty() { "nothing".to_owned() } else { out.join("\n") }
}

/// The best completions, or those whose names are asked for.
fn completions(of: &Value, names: &str) -> String {
    let all = of["items"].as_array().unwrap();
    let names: Vec<&str> = names.split_whitespace().collect();
    let mut all: Vec<&Value> =
        all.iter().filter(|of| names.is_empty() || names.contains(&of["label"].as_str().unwrap())).collect();
    all.sort_by_key(|of| of["sortText"].as_str().unwrap());
    let line = |of: &&Value| {
        let import = match of["additionalTextEdits"].as_array() {
            Some(edits) => format!(" with {} at {}", edits[0]["newText"], range(&edits[0]["range"])),
            None => String::new(),
        };
        let detail = of["detail"].as_str().map_or(String::new(), |of| format!("  {of}"));
        let edit = &of["textEdit"];
        format!(
            "{} -> {} {}{detail}{import}",
            of["label"].as_str().unwrap(),
            range(&edit["range"]),
            edit["newText"]
        )
    };
    let shown = if names.is_empty() { 12 } else { all.len() };
    let more = all.len().saturating_sub(shown);
    let mut out: Vec<String> = all.iter().take(shown).map(line).collect();
    if more > 0 {
        out.push("and more".to_owned());
    }
    if out.is_empty() { "nothing".to_owned() } else { out.join("\n") }
}

fn signature(of: &Value) -> String {
    let Some(one) = of["signatures"].get(0) else { return "nothing".to_owned() };
    let label = one["label"].as_str().unwrap();
    let active = of["activeParameter"].as_u64().and_then(|at| one["parameters"].get(at as usize));
    let active = active.map_or("none".to_owned(), |of| {
        let at = |index: usize| of["label"][index].as_u64().unwrap() as usize;
        let units: Vec<u16> = label.encode_utf16().collect();
        let docs = of["documentation"]["value"].as_str().unwrap_or("");
        format!("{} — {docs}", String::from_utf16(&units[at(0)..at(1)]).unwrap())
    });
    format!("{label}\nwriting: {active}")
}

fn fixes(of: &Value) -> String {
    let line = |of: &Value| format!("{}\n{}", of["title"].as_str().unwrap(), edits(&of["edit"]));
    let all: Vec<String> = of.as_array().into_iter().flatten().map(line).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join("\n") }
}

fn symbols(of: &Value, depth: usize) -> String {
    let mut out = String::new();
    for of in of.as_array().into_iter().flatten() {
        let detail = of["detail"].as_str().unwrap_or("");
        let _ = writeln!(
            out,
            "{:depth$}{} ({}) {detail} {}",
            "",
            of["name"].as_str().unwrap(),
            of["kind"],
            range(&of["range"])
        );
        out.push_str(&symbols(&of["children"], depth + 2));
    }
    out
}

/// Each token with its kind and modifiers, as the legend numbers them.
fn tokens(of: &Value, text: &str) -> String {
    let kinds = [
        "keyword",
        "variable",
        "parameter",
        "property",
        "function",
        "method",
        "class",
        "namespace",
        "number",
        "string",
        "comment",
        "operator",
    ];
    let lines: Vec<Vec<u16>> = text.lines().map(|line| line.encode_utf16().collect()).collect();
    let numbers: Vec<usize> =
        of["data"].as_array().unwrap().iter().map(|of| of.as_u64().unwrap() as usize).collect();
    let (mut line, mut column) = (0, 0);
    let mut out = String::new();
    for token in numbers.chunks(5) {
        let [lines_on, on, length, kind, modifiers] = token else { panic!("tokens are five numbers each") };
        column = if *lines_on == 0 { column + on } else { *on };
        line += lines_on;
        let word = String::from_utf16(&lines[line][column..column + length]).unwrap();
        let _ = write!(out, "{word}:{}", kinds[*kind]);
        for (bit, name) in ["declaration", "readonly", "library"].iter().enumerate() {
            if modifiers & (1 << bit) != 0 {
                let _ = write!(out, ".{name}");
            }
        }
        out.push('\n');
    }
    out
}
