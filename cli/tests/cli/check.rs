//! `aent check`

use super::fixture::{Folder, SPEC};

#[test]
fn a_right_file_exits_with_zero() {
    let ran = Folder::with("a.aent", SPEC).run(&["check", "a.aent"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(ran.stderr, "1 file checked: nothing to complain of\n");
}

#[test]
fn warnings_do_not_fail() {
    let ran = Folder::with("a.aent", format!("{SPEC}let spare = 1\n")).run(&["check", "a.aent"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("warning[unused-let]"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("1 file checked: 1 warning\n"), "{}", ran.stderr);
}

#[test]
fn every_file_is_checked_though_the_first_is_wrong() {
    let folder = Folder::with("a.aent", "loss = nothing\n");
    folder.write("b.aent", "loss = token_mean(other)\n");
    let ran = folder.run(&["check", "a.aent", "b.aent", "missing.aent"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    for part in ["a.aent:1:8", "b.aent:1:19", "unreadable-file", "3 files checked: 3 errors"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[test]
fn json_has_the_keys_that_other_programs_read() {
    let text = "let a = 1\nlet é = 2\nlet a = ração\nloss = token_mean(a)\nlet a = 3\n";
    let ran = Folder::with("a.aent", text).run(&["check", "a.aent", "--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let json = ran.json();
    let diagnostics = json["diagnostics"].as_array().unwrap();
    assert!(diagnostics.len() >= 3);
    for item in diagnostics {
        let keys: Vec<_> = item.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["severity", "id", "message", "file", "span", "labels", "help"]);
        let keys: Vec<_> = item["span"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["start", "end", "line", "column"]);
        assert_eq!(item["file"], "a.aent");
    }
    let again = diagnostics.iter().find(|item| item["id"] == "duplicate-name").unwrap();
    assert_eq!(again["severity"], "error");
    let (start, end) =
        (again["span"]["start"].as_u64().unwrap() as usize, again["span"]["end"].as_u64().unwrap() as usize);
    assert_eq!(&text[start..end], "a");
    assert_eq!((again["span"]["line"].as_u64(), again["span"]["column"].as_u64()), (Some(5), Some(5)));
    let label = &again["labels"][0];
    assert_eq!((label["span"]["line"].as_u64(), label["file"].as_str()), (Some(1), Some("a.aent")));
    assert!(label["message"].is_string() && again["help"].is_string());
}

#[test]
fn json_of_right_files_is_an_empty_list() {
    let ran = Folder::with("a.aent", SPEC).run(&["check", "--format", "json", "a.aent"]);
    assert_eq!((ran.code, ran.json()), (0, serde_json::json!({ "diagnostics": [] })));
}

#[test]
fn a_mistake_in_an_import_names_the_imported_file_once() {
    let folder = Folder::with("a.aent", "import \"lib.aent\"\nloss = -token_mean(log_prob)\n");
    folder.write("b.aent", "import \"lib.aent\"\nloss = -token_mean(log_prob)\n");
    folder.write("lib.aent", "let x = nothing\n");
    let json = folder.run(&["check", "a.aent", "b.aent", "--format", "json"]).json();
    assert_eq!(json["diagnostics"].as_array().unwrap().len(), 1);
    assert_eq!(json["diagnostics"][0]["file"], "lib.aent");
}

#[test]
fn standard_input_is_a_file() {
    let ran = Folder::new().run_with(&["check", "-"], b"loss = nothing\n");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("<stdin>:1:8"), "{}", ran.stderr);
    Folder::new().run_with(&["check", "-"], b"\xff").refused("UTF-8");
}

#[test]
fn colours_are_for_terminals() {
    let ran = Folder::with("a.aent", "loss = nothing\n").run(&["check", "a.aent"]);
    assert!(!ran.stderr.contains('\u{1b}'));
}
