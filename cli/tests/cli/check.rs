//! `aent check`

use super::fixture::{Folder, SPEC};
use std::fs;

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
        assert_eq!(keys, ["severity", "id", "message", "file", "span", "labels", "help", "fix"]);
        let keys: Vec<_> = item["span"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["start", "end", "line", "column", "end_line", "end_column"]);
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
fn what_an_engine_does_not_know_of_the_step_is_an_error() {
    let folder = Folder::with("a.aent", "loss = token_mean((rewards - group_mean(rewards)) * log_prob)\n");
    let ran = folder.run(&["check", "a.aent", "--known", "tokens,sequences"]);
    assert_eq!(ran.code, 1);
    for part in ["error[needs-whole-step]", "all samples of a group together", "a.aent:1:30"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert_eq!(folder.run(&["check", "a.aent", "--known", "tokens,groups"]).code, 0);
    let misused = folder.run(&["check", "a.aent", "--known", "all"]);
    assert_eq!(misused.code, 2);
    assert!(
        misused.stderr.contains("expected names of tokens, sequences, width, groups"),
        "{}",
        misused.stderr
    );
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
    let always = Folder::with("a.aent", "loss = nothing\n").run(&["check", "a.aent", "--color", "always"]);
    assert!(always.stderr.contains('\u{1b}'), "{}", always.stderr);
    let never = Folder::with("a.aent", "loss = nothing\n");
    let output = never.command(&["--color=never", "check", "a.aent"]).env("CLICOLOR_FORCE", "1").output();
    assert!(!output.unwrap().stderr.contains(&0x1b));
}

#[test]
fn warnings_fail_where_they_are_denied() {
    let folder = Folder::with("a.aent", format!("{SPEC}let spare = 1\n"));
    for lint in ["warnings", "unused-let"] {
        let ran = folder.run(&["check", "a.aent", "--deny", lint]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("error[unused-let]"), "{}", ran.stderr);
        assert!(ran.stderr.ends_with("1 file checked: 1 error\n"), "{}", ran.stderr);
    }
    assert_eq!(folder.run(&["check", "a.aent", "-D", "entropy-sign"]).code, 0);
    let json = folder.run(&["check", "a.aent", "-D", "warnings", "--format", "json"]).json();
    assert_eq!(json["diagnostics"][0]["severity"], "error");
    let ran = folder.run(&["check", "a.aent", "-D", "unused-lets"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean `unused-let`?"), "{}", ran.stderr);
    assert_eq!(folder.run(&["check", "a.aent", "-D", "unknown-name"]).code, 2, "an error needs no denial");
}

#[test]
fn params_are_checked_with_the_values_that_they_will_have() {
    let folder = Folder::with("a.aent", SPEC);
    assert_eq!(folder.run(&["check", "a.aent", "--set", "eps=0.3"]).code, 0);
    folder.run(&["check", "a.aent", "--set", "eps=1.5"]).refused("param-out-of-range");
    folder.run(&["check", "a.aent", "--set", "epss=0.5"]).refused("did you mean `eps`?");
}

#[test]
fn standard_input_may_have_a_name() {
    let folder = Folder::new();
    fs::create_dir(folder.path("part")).unwrap();
    folder.write("part/lib.aent", "let scale = 2\n");
    let text = b"import \"lib.aent\"\nloss = scale * token_mean(clip_ppo()) + nothing\n";
    let ran = folder.run_with(&["check", "-", "--stdin-filename", "part/a.aent"], text);
    assert!(ran.stderr.contains("part/a.aent:2:"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("1 file checked: 1 error\n"), "the import is found: {}", ran.stderr);
    let ran = folder.run(&["check", "part/lib.aent", "--stdin-filename", "part/a.aent"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn the_summary_may_be_left_out() {
    let folder = Folder::with("a.aent", SPEC);
    let ran = folder.run(&["check", "-q", "a.aent"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    folder.write("a.aent", "loss = nothing\n");
    let ran = folder.run(&["check", "--quiet", "a.aent"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("unknown-name") && !ran.stderr.contains("checked"), "{}", ran.stderr);
}
