//! What is written where: streams that cannot be written, outputs that would replace inputs, imports of other folders.

use super::fixture::{Folder, Ran, SPEC, batch};
use std::fs::{self, OpenOptions};
use std::process::Stdio;

const LOOSE: &str = "loss=token_mean( log_prob )\n";

fn folder() -> Folder {
    let folder = Folder::with("spec.aent", SPEC);
    batch(&folder, &[]);
    folder
}

/// Runs with a stream that cannot be written.
#[cfg(target_os = "linux")]
fn run_full(folder: &Folder, args: &[&str], full_stderr: bool) -> (i32, String) {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let input = fs::File::open(folder.path("loose.aent")).unwrap();
    let mut command = folder.command(args);
    command.stdin(input);
    if full_stderr {
        command.stderr(full()).stdout(Stdio::piped());
    } else {
        command.stdout(full()).stderr(Stdio::piped());
    }
    let output = command.output().unwrap();
    let code = output.status.code().expect("the program exits by itself");
    (code, String::from_utf8(output.stderr).unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn standard_output_that_cannot_be_written_is_an_error() {
    let folder = folder();
    folder.write("loose.aent", LOOSE);
    for args in [
        &["check", "spec.aent", "--format", "json"][..],
        &["explain", "spec.aent"],
        &["explain", "unknown-name"],
        &["explain", "--all"],
        &["fmt", "-"],
        &["fmt", "--check", "loose.aent"],
        &["terms"],
        &["terms", "clip_ppo"],
        &["terms", "--markdown"],
        &["eval", "spec.aent", "--batch", "batch.safetensors"],
        &["--help"],
        &["help", "eval"],
        &["--version"],
    ] {
        let (code, stderr) = run_full(&folder, args, false);
        assert_eq!(code, 1, "{args:?}: {stderr}");
        assert!(stderr.contains("cannot write to standard output: No space left"), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn standard_error_that_cannot_be_written_is_no_panic() {
    let folder = folder();
    folder.write("loose.aent", LOOSE);
    folder.write("wrong.aent", "loss = nothing\n");
    for (args, expected) in [
        // What a check finds goes to standard error, so it is lost.
        (&["check", "spec.aent"][..], 1),
        (&["check", "wrong.aent"], 1),
        (&["check", "spec.aent", "--format", "json"], 0),
        (&["explain", "spec.aent"], 0),
        (&["explain", "unknown-nam"], 1),
        (&["fmt", "spec.aent"], 0),
        (&["terms", "no_such_term"], 1),
        (&["eval", "spec.aent", "--batch", "batch.safetensors"], 0),
        (&["eval", "wrong.aent", "--batch", "batch.safetensors"], 1),
        (&["chek"], 2),
    ] {
        assert_eq!(run_full(&folder, args, true).0, expected, "{args:?}");
    }
}

fn eval(folder: &Folder, more: &[&str]) -> Ran {
    folder.run(&[&["eval", "spec.aent", "--batch", "batch.safetensors"], more].concat())
}

/// Asserts that a step is refused before it runs, and that all files are as they were.
#[track_caller]
fn refused_as_usage(folder: &Folder, more: &[&str], parts: &[&str]) {
    let files = ["spec.aent", "batch.safetensors", "lib.aent", "state.json"];
    let before: Vec<_> = files.map(|name| fs::read(folder.path(name)).ok()).into();
    let ran = eval(folder, more);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{more:?}: {}", ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{more:?}: expected `{part}` in: {}", ran.stderr);
    }
    let after: Vec<_> = files.map(|name| fs::read(folder.path(name)).ok()).into();
    assert_eq!(before, after);
}

#[test]
#[cfg(unix)]
fn no_output_of_a_step_replaces_an_input() {
    let folder = folder();
    folder.write("lib.aent", "let unused = 1\n");
    folder.write("spec.aent", format!("import \"lib.aent\"\n{SPEC}"));
    assert_eq!(eval(&folder, &["--save-state", "state.json"]).code, 0);
    fs::create_dir(folder.path("sub")).unwrap();
    fs::hard_link(folder.path("spec.aent"), folder.path("hard.aent")).unwrap();
    std::os::unix::fs::symlink("batch.safetensors", folder.path("link.safetensors")).unwrap();
    for option in ["--out", "--save-state"] {
        for (name, input) in [
            ("spec.aent", "`spec.aent`"),
            ("./spec.aent", "`spec.aent`"),
            ("sub/../spec.aent", "`spec.aent`"),
            ("hard.aent", "`spec.aent`"),
            ("batch.safetensors", "`batch.safetensors`"),
            ("link.safetensors", "`batch.safetensors`"),
            ("lib.aent", "lib.aent`"),
        ] {
            refused_as_usage(&folder, &[option, name], &[&format!("`{option} {name}`"), input]);
        }
    }
    refused_as_usage(
        &folder,
        &["--state", "state.json", "--out", "./state.json"],
        &["`--out ./state.json`", "`state.json`"],
    );
    refused_as_usage(&folder, &["--save-state", "new", "--out", "./new"], &["`--save-state new`", "`./new`"]);
    assert!(!folder.path("new").exists());
}

#[test]
fn a_state_may_be_saved_over_the_one_that_was_read() {
    let folder = folder();
    let first = eval(&folder, &["--save-state", "state.json"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let second = eval(&folder, &["--state", "state.json", "--save-state", "state.json"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let third = eval(&folder, &["--state", "state.json"]).json();
    assert_eq!(third["controllers"]["beta"]["value"], second.json()["controllers"]["beta"]["next"]);
}

#[test]
fn a_failed_write_names_the_file_and_leaves_nothing_beside_it() {
    let folder = folder();
    fs::create_dir(folder.path("taken")).unwrap();
    for option in ["--out", "--save-state"] {
        eval(&folder, &[option, "taken"]).refused("cannot write `taken`: Is a directory");
        eval(&folder, &[option, "missing/file"]).refused("cannot write `missing/file`: No such file");
    }
    let mut names: Vec<_> =
        fs::read_dir(folder.path("")).unwrap().map(|of| of.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["batch.safetensors", "spec.aent", "taken"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_and_nothing_is_renamed() {
    let folder = folder();
    for option in ["--out", "--save-state"] {
        eval(&folder, &[option, "/dev/full"]).refused("cannot write `/dev/full`: ");
        assert_eq!(eval(&folder, &[option, "/dev/null"]).code, 0);
    }
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn windows_line_ends_stay_and_are_canonical() {
    let windows = LOOSE.replace('\n', "\r\n");
    let neat = "loss = token_mean(log_prob)\r\n";
    let folder = Folder::with("a.aent", &windows);
    assert_eq!(folder.run(&["fmt", "--check", "a.aent"]).code, 1);
    assert_eq!(folder.run(&["fmt", "a.aent"]).code, 0);
    assert_eq!(folder.read("a.aent"), neat);
    assert_eq!(folder.run(&["fmt", "--check", "a.aent"]).code, 0);
    assert_eq!(folder.run_with(&["fmt", "-"], windows.as_bytes()).stdout, neat);
}

#[test]
fn imports_stay_in_the_project_unless_a_folder_is_allowed() {
    let folder = Folder::new();
    for name in ["project", "shared"] {
        fs::create_dir(folder.path(name)).unwrap();
    }
    folder.write("shared/lib.aent", "let bonus = token_mean(log_prob)\n");
    folder.write("project/spec.aent", "import \"../shared/lib.aent\"\nloss = -bonus\n");
    let ran = folder.run(&["check", "project/spec.aent"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("error[import-outside-project]"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--allow-import"), "{}", ran.stderr);
    let allowed = ["--allow-import", "shared"];
    batch(&folder, &[]);
    for command in [
        &["check", "project/spec.aent"][..],
        &["explain", "project/spec.aent"],
        &["eval", "project/spec.aent", "--batch", "batch.safetensors"],
    ] {
        let ran = folder.run(&[command, &allowed].concat());
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_no_text_are_read_and_written() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"s\xff\n.aent");
    fs::write(folder.path("").join(name), LOOSE).unwrap();
    for command in ["check", "fmt"] {
        let output = folder.command(&[command]).arg(name).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(fs::read_to_string(folder.path("").join(name)).unwrap(), "loss = token_mean(log_prob)\n");
}
