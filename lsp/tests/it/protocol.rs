//! What an editor may do besides asking about files.

use crate::client::{Client, uri};
use serde_json::{Value, json};

#[test]
fn an_unknown_request_is_refused_and_the_server_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::new(folder.path());
    assert!(client.request("textDocument/prophecy", json!({})).unwrap_err().contains("prophecy"));
    assert!(client.request("textDocument/hover", json!({ "textDocument": 1 })).is_err());
    client.notify("textDocument/didChange", json!({ "nonsense": true }));
    client.notify("$/somethingNew", json!({}));
    assert!(
        client.request("workspace/symbol", json!({ "query": "" })).unwrap().as_array().unwrap().is_empty()
    );
    client.end();
}

#[test]
fn a_text_without_a_file_is_served_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::new(folder.path());
    let untitled = lsp_types::Uri("untitled:Untitled-1".to_owned());
    client.open(&untitled, "let x = entrpy()\nloss = -token_mean(log_prob)\n");
    client.settle();
    assert_eq!(client.shown[&untitled].len(), 1);
    let at = json!({ "textDocument": { "uri": untitled }, "position": { "line": 1, "character": 10 } });
    let hover = client.request("textDocument/hover", at).unwrap();
    assert!(hover["contents"]["value"].as_str().unwrap().contains("token_mean"), "{hover}");
    client.end();
}

#[test]
fn columns_are_bytes_where_the_editor_prefers_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = "let x = 1 # β\nmetric m = token_mean(\"β\" + entrpy())\nloss = -token_mean(log_prob)\n";
    let file = uri(&folder.path().join("main.aent"));
    let column = |encoding: &str| {
        let capabilities = json!({ "general": { "positionEncodings": [encoding] } });
        let mut client = Client::with(folder.path(), &capabilities);
        assert_eq!(client.capabilities["positionEncoding"], encoding);
        client.open(&file, text);
        client.settle();
        let found = client.shown[&file].iter().find(|of| {
            of.message
                == "there is no function or term `entrpy`\nhelp: did you mean `entropy`?".to_owned().into()
        });
        let column = found.unwrap().range.start.character;
        client.end();
        column
    };
    // In bytes, the letter before it takes one more.
    assert_eq!((column("utf-16"), column("utf-8")), (28, 29));
}

#[test]
fn the_size_of_a_step_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = uri(&folder.path().join("main.aent"));
    let mut client = Client::new(folder.path());
    client.open(&file, "loss = -token_mean(entropy())\n");
    let mut title = || {
        let lenses =
            client.request("textDocument/codeLens", json!({ "textDocument": { "uri": file } })).unwrap();
        let title = lenses[0]["command"]["title"].as_str().unwrap().to_owned();
        (title, lenses[0]["command"]["arguments"].clone())
    };
    let (before, _) = title();
    assert!(before.contains("8 × 1,024 tokens over 151,936 ids"), "{before}");
    let settings = json!({ "settings": { "aent": { "size": { "sequences": 2, "vocabulary": 1000 } } } });
    client.notify("workspace/didChangeConfiguration", settings);
    let mut title = || {
        let lenses =
            client.request("textDocument/codeLens", json!({ "textDocument": { "uri": file } })).unwrap();
        (
            lenses[0]["command"]["title"].as_str().unwrap().to_owned(),
            lenses[0]["command"]["arguments"].clone(),
        )
    };
    let (after, arguments) = title();
    // 2 · 1024 tokens of 1000 logits, two bytes each.
    assert!(after.contains("2 × 1,024 tokens over 1,000 ids bring 3.91 MiB"), "{after}");
    let params = json!({ "command": "aent.explain", "arguments": arguments });
    let explained = client.request("workspace/executeCommand", params).unwrap();
    assert!(explained.as_str().unwrap().contains("# Row statistics of the logits"), "{explained}");
    client.end();
}

#[test]
fn a_completion_is_explained_when_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::new(folder.path());
    let item = json!({ "label": "clip_ppo", "data": { "name": "clip_ppo" } });
    let resolved = client.request("completionItem/resolve", item).unwrap();
    let text = resolved["documentation"]["value"].as_str().unwrap();
    assert!(text.starts_with("```aent\nclip_ppo(") && text.contains("Formula"), "{text}");
    let item = json!({ "label": "x" });
    assert_eq!(client.request("completionItem/resolve", item).unwrap()["documentation"], Value::Null);
    client.end();
}

#[test]
fn a_term_leads_to_the_source_of_its_crate_where_that_is_on_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let file = uri(&folder.path().join("main.aent"));
    let mut client = Client::new(folder.path());
    client.open(&file, "loss = token_mean(clip_ppo())\n");
    let at = json!({ "textDocument": { "uri": file }, "position": { "line": 0, "character": 20 } });
    assert_eq!(client.request("textDocument/definition", at.clone()).unwrap(), Value::Null);

    let source = folder.path().join("src/terms/clip_ppo.rs");
    std::fs::create_dir_all(source.parent().unwrap()).unwrap();
    std::fs::write(&source, "//! Stands for the real one.").unwrap();
    let place = client.request("textDocument/definition", at).unwrap();
    assert_eq!(place[0]["uri"], json!(uri(&source)));
    let real = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/terms/clip_ppo.rs");
    let real = std::fs::read_to_string(real).unwrap();
    let line = place[0]["range"]["start"]["line"].as_u64().unwrap() as usize;
    assert!(real.lines().nth(line).unwrap().starts_with("#[term("), "line {line}");
    client.end();
}
