//! Folders in place of files, for `aent check` and `aent fmt`.

use super::fixture::{Folder, SPEC};
use std::fs;

/// Right files at several depths, and wrong ones where nobody should look.
fn project() -> Folder {
    let folder = Folder::with("b.aent", SPEC);
    for (name, text) in [
        ("a/deep/c.aent", SPEC),
        ("a/notes.md", "loss = nothing"),
        (".hidden/x.aent", "loss = nothing"),
        ("built/x.aent", "loss = nothing"),
        ("built/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"),
    ] {
        fs::create_dir_all(folder.path(name).parent().unwrap()).unwrap();
        folder.write(name, text);
    }
    folder
}

#[test]
fn a_folder_stands_for_its_files_but_hidden_ones_and_those_of_caches() {
    let folder = project();
    let ran = folder.run(&["check", "."]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "2 files checked: nothing to complain of\n"));
    folder.write("a/deep/c.aent", "loss = nothing");
    folder.write("b.aent", "loss = other");
    let ran = folder.run(&["check", ".", "b.aent", "--format", "short"]);
    let places: Vec<_> = ran.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["a/deep/c.aent:1:8:", "b.aent:1:8:"], "in order, each once");
    assert_eq!(folder.run(&["check", ".hidden", "built"]).code, 1, "a folder that is named is looked into");
}

#[test]
fn a_folder_without_files_is_a_mistake() {
    let folder = Folder::with("a.txt", "");
    folder.run(&["check", "."]).refused("no file under `.` ends in `.aent`");
    folder.run(&["fmt", "."]).refused("no file under `.` ends in `.aent`");
}

#[test]
fn a_file_that_others_import_needs_no_loss() {
    let folder = Folder::with("a.aent", "import \"parts/lib.aent\"\nloss = -scale * token_mean(log_prob)\n");
    fs::create_dir(folder.path("parts")).unwrap();
    folder.write("parts/lib.aent", "let scale = 2\n");
    let ran = folder.run(&["check", "."]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "2 files checked: nothing to complain of\n"));
    folder.run(&["check", "parts"]).refused("missing-loss");
}

#[test]
fn all_files_of_a_folder_are_formatted() {
    let folder = project();
    let loose = "loss=-token_mean(log_prob)\n";
    for name in ["b.aent", "a/deep/c.aent", "built/x.aent"] {
        folder.write(name, loose);
    }
    let ran = folder.run(&["fmt", "--check", "."]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "a/deep/c.aent\nb.aent\n"));
    let ran = folder.run(&["fmt", "."]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "2 files reformatted, 0 unchanged\n"));
    assert_eq!(folder.read("a/deep/c.aent"), "loss = -token_mean(log_prob)\n");
    assert_eq!(folder.read("built/x.aent"), loose);
}
