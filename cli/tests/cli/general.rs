//! What holds for every command.

use super::fixture::{Folder, SPEC};
use std::process::Stdio;

#[test]
fn usage_errors_exit_with_two() {
    for args in [
        &[][..],
        &["chek"],
        &["check"],
        &["fmt"],
        &["eval", "a.aent"],
        &["check", "a.aent", "--format", "xml"],
        &["eval", "a.aent", "--batch", "b", "--device", "tpu"],
        &["eval", "a.aent", "--batch", "b", "--dtype", "f8"],
        &["eval", "a.aent", "--batch", "b", "--kernels", "magic"],
        &["eval", "a.aent", "--batch", "b", "--microbatches", "0"],
        &["eval", "a.aent", "--batch", "b", "--repeat", "-1"],
        &["eval", "a.aent", "--batch", "b", "--set", "eps"],
        &["train", "a.aent"],
        &["train", "a.aent", "--task", "chess"],
    ] {
        let ran = Folder::new().run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["help"], &["help", "eval"], &["eval", "--help"], &["--version"]] {
        let ran = Folder::new().run(args);
        assert_eq!(ran.code, 0, "{args:?}");
        assert!(!ran.stdout.is_empty());
    }
    assert_eq!(Folder::new().run(&["--version"]).stdout, format!("aent {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::with("a.aent", SPEC);
    for args in
        [&["terms"][..], &["terms", "--markdown"], &["explain", "--all"], &["explain", "a.aent"], &["help"]]
    {
        let mut child = folder.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn every_shell_can_complete_commands_and_arguments() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = Folder::new().run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{shell}");
        for word in ["explain", "stdin-filename"] {
            assert!(ran.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(Folder::new().run(&["completions", "cmd"]).code, 2);
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    let ran = folder.run(&["man"]);
    assert!(ran.stdout.contains(".TH aent 1"), "{}", ran.stdout);
    let ran = folder.run(&["man", "check"]);
    assert!(ran.stdout.contains(".TH aent-check 1"), "{}", ran.stdout);
    assert!(ran.stdout.contains("stdin\\-filename"), "{}", ran.stdout);
    assert_eq!(folder.run(&["man", "chek"]).code, 2);
    assert_eq!(folder.run(&["man", "--out", "pages"]).code, 0);
    for page in ["aent", "aent-check", "aent-fmt", "aent-explain", "aent-terms"] {
        assert!(folder.read(&format!("pages/{page}.1")).contains(&format!(".TH {page} 1")), "{page}");
    }
}
