//! What the server shows is what the compiler finds, in all files together.

use crate::client::{Client, path, uri};
use aent::diag::Severity;
use lsp_types::{Code, Diagnostic, DiagnosticSeverity, Position};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A finding for comparison: file, line, column, severity, id, message without help.
pub(crate) type Plain = (PathBuf, u32, u32, bool, String, String);

/// What `aent check` finds in all files of a folder: each with all the others beside it.
pub(crate) fn checked(folder: &Path) -> BTreeSet<Plain> {
    let files = aent_files::below(folder, "aent").unwrap();
    let mut reports = Vec::new();
    for file in &files {
        let (found, sources) = match aent::compile_file(file) {
            Ok(program) => (program.warnings().clone(), program.sources().clone()),
            Err(failure) => (failure.diagnostics, failure.sources),
        };
        reports.push((file.canonicalize().unwrap(), found, sources));
    }
    let imported: BTreeSet<PathBuf> = reports
        .iter()
        .flat_map(|(_, _, sources)| {
            sources.iter().skip(1).filter_map(|(_, of)| of.path().map(Path::to_owned))
        })
        .collect();
    let mut out = BTreeSet::new();
    for (file, found, sources) in &reports {
        for item in found {
            if item.id == "missing-loss" && imported.contains(file) {
                continue;
            }
            let source = sources.get(item.span.source);
            let path = source.path().map_or_else(|| file.clone(), |path| path.canonicalize().unwrap());
            let before = &source.text()[..item.span.start as usize];
            let line = before.matches('\n').count() as u32;
            let column = before.rsplit('\n').next().unwrap_or("").encode_utf16().count() as u32;
            let is_error = item.severity == Severity::Error;
            // The server names files from its folder on.
            let message = item.message.replace(&format!("{}/", folder.display()), "");
            out.insert((path, line, column, is_error, item.id.to_owned(), message));
        }
    }
    out
}

/// What a client shows.
pub(crate) fn shown(client: &Client) -> BTreeSet<Plain> {
    let one = |path: &Path, of: &Diagnostic| {
        let Position { line, character } = of.range.start;
        let Some(Code::String(id)) = of.code.clone() else { panic!("each finding has an id: {of:?}") };
        let is_error = of.severity == Some(DiagnosticSeverity::Error);
        let message = json!(of.message).as_str().unwrap().to_owned();
        let message = message.split("\nhelp: ").next().unwrap().to_owned();
        (path.to_owned(), line, character, is_error, id, message)
    };
    let files = client.shown.iter();
    files
        .flat_map(|(uri, all)| {
            let path = path(uri);
            all.iter().map(move |of| one(&path, of)).collect::<Vec<_>>()
        })
        .collect()
}

fn copied(from: &Path, to: &Path) {
    for file in aent_files::below(from, "aent").unwrap() {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

#[test]
fn a_folder_shows_what_the_compiler_finds_in_it() {
    let folder = tempfile::tempdir().unwrap();
    copied(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples"), folder.path());
    // Each explanation's example gives its finding.
    let examples = aent::diag::codes::CODES.iter().filter_map(|of| Some((of.id, of.example()?)));
    for (id, text) in examples {
        fs::write(folder.path().join(format!("{id}.aent")), text).unwrap();
    }
    let mut client = Client::new(folder.path());
    client.settle();
    let expected = checked(folder.path());
    assert!(expected.len() > 60, "{}", expected.len());
    assert_eq!(shown(&client), expected);
    client.end();
}

/// A text with the edits of a file in an answer.
fn edited(text: &str, edits: &serde_json::Value) -> String {
    let offset = |at: &serde_json::Value| {
        let line = text
            .split_inclusive('\n')
            .take(at["line"].as_u64().unwrap() as usize)
            .map(str::len)
            .sum::<usize>();
        line + at["character"].as_u64().unwrap() as usize
    };
    let mut out = text.to_owned();
    for edit in edits.as_array().unwrap().iter().rev() {
        let (start, end) = (offset(&edit["range"]["start"]), offset(&edit["range"]["end"]));
        out.replace_range(start..end, edit["newText"].as_str().unwrap());
    }
    out
}

#[test]
fn each_fix_mends_what_it_is_offered_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::new(folder.path());
    let mut mended = BTreeSet::new();
    for code in aent::diag::codes::CODES {
        let Some(text) = code.example().filter(|text| text.is_ascii()) else { continue };
        let file = uri(&folder.path().join(format!("{}.aent", code.id)));
        client.open(&file, text);
        client.settle();
        let shown = client.shown.get(&file).cloned().unwrap_or_default();
        for finding in shown.iter().filter(|of| of.code == Some(Code::String(code.id.to_owned()))) {
            let params = json!({
                "textDocument": { "uri": file },
                "range": finding.range,
                "context": { "diagnostics": [finding] },
            });
            let actions = client.request("textDocument/codeAction", params).unwrap();
            for action in actions.as_array().unwrap() {
                let changed = edited(text, &action["edit"]["changes"][&file.0]);
                client.change(&file, &json!({ "text": changed }));
                client.settle();
                let left = client.shown.get(&file).cloned().unwrap_or_default();
                let same = |of: &&Diagnostic| of.code == finding.code && of.message == finding.message;
                let count = |all: &[Diagnostic]| all.iter().filter(same).count();
                assert!(
                    count(&left) < count(&shown),
                    "{}: {}\n{changed}\n{left:?}",
                    code.id,
                    action["title"]
                );
                mended.insert((code.id, action["title"].as_str().unwrap().to_owned()));
                client.change(&file, &json!({ "text": text }));
                client.settle();
            }
        }
        client.close(&file);
    }
    for (id, title) in [
        ("unknown-name", "did you mean `token_mean`?"),
        ("unused-let", "silence `unused-let` for this statement"),
        ("entropy-sign", "turn its sign"),
        ("loss-sign", "turn its sign"),
        ("unknown-statement", "write `let ratio = ...`"),
        ("unknown-operator", "a power is written `x^2`"),
    ] {
        assert!(mended.contains(&(id, title.to_owned())), "no fix for {id}: {mended:?}");
    }
    client.end();
}

#[test]
fn a_change_shows_in_the_files_that_import_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("lib.aent", "fn half(x) = 0.5 * x\n");
    write("main.aent", "import \"lib.aent\"\nloss = -token_mean(half(log_prob))\n");
    let mut client = Client::new(folder.path());
    client.settle();
    assert_eq!(shown(&client), BTreeSet::new());
    let (lib, main) = (uri(&folder.path().join("lib.aent")), uri(&folder.path().join("main.aent")));

    client.open(&lib, "fn third(x) = x / 3\n");
    client.settle();
    let found = &client.shown[&main];
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, Some(Code::String("unknown-name".to_owned())));

    client.close(&lib);
    client.settle();
    assert_eq!(client.shown[&main], []);
    client.end();
}

#[test]
fn a_file_that_appears_mends_the_import_of_another() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("main.aent"), "import \"lib.aent\"\nloss = -token_mean(half(log_prob))\n")
        .unwrap();
    let mut client = Client::new(folder.path());
    client.settle();
    let main = uri(&folder.path().join("main.aent"));
    assert_eq!(client.shown[&main][0].code, Some(Code::String("unknown-import".to_owned())));

    let lib = folder.path().join("lib.aent");
    fs::write(&lib, "fn half(x) = 0.5 * x\n").unwrap();
    let params = json!({ "changes": [{ "uri": uri(&lib), "type": 1 }] });
    client.notify("workspace/didChangeWatchedFiles", params);
    client.settle();
    assert_eq!(client.shown[&main], []);

    fs::remove_file(&lib).unwrap();
    let params = json!({ "changes": [{ "uri": format!("file://{}", lib.display()), "type": 3 }] });
    client.notify("workspace/didChangeWatchedFiles", params);
    client.settle();
    assert_eq!(client.shown[&main].len(), 2, "{:?}", client.shown[&main]);
    client.end();
}

#[test]
fn an_import_that_is_opened_from_the_library_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let main = uri(&folder.path().join("main.aent"));
    let mut client = Client::new(folder.path());
    client.open(&main, "import \"std/kl.aent\"\nloss = token_mean(k3(ref_log_prob))\n");
    let at = json!({ "textDocument": { "uri": main }, "position": { "line": 1, "character": 19 } });
    let place = client.request("textDocument/definition", at).unwrap();
    let library: lsp_types::Uri = serde_json::from_value(place[0]["uri"].clone()).unwrap();
    let text = fs::read_to_string(path(&library)).unwrap();
    client.open(&library, &text);
    client.settle();
    assert_eq!(shown(&client), BTreeSet::new());
    client.end();
}
