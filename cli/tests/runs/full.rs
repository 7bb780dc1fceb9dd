//! Writes that fail: no file may be longer than so many blocks, as on a full disk; and folders that cannot be made.

use super::{RUN, SPEC, arguments, assert_whole, files, finish, folder, numbers};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the program where no file may be longer than so many blocks of 512 bytes.
fn limited(folder: &Path, blocks: u32, args: &[impl AsRef<str>]) -> Output {
    // Without the trap the system would end the program by a signal.
    let script = "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, &blocks.to_string(), env!("CARGO_BIN_EXE_aent")]);
    command.args(args.iter().map(AsRef::as_ref)).current_dir(folder).output().unwrap()
}

/// Asserts that the program ended with a sentence about a path, left nothing unfinished, and returns the path.
#[track_caller]
fn refused(folder: &Path, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large") && !said.contains("panicked"), "{said}");
    let path = said.split_once("cannot write `").and_then(|(_, rest)| rest.split_once('`'));
    let path = path.unwrap_or_else(|| panic!("no path in {said}")).0.to_owned();
    assert_eq!(unfinished(folder), 0, "{said}");
    path
}

/// How many unfinished files there are in a folder and below.
fn unfinished(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let count = |entry: fs::DirEntry| {
        if entry.file_type().unwrap().is_dir() {
            return unfinished(&entry.path());
        }
        usize::from(entry.file_name().to_string_lossy().starts_with(aent_files::PREFIX))
    };
    entries.map(count).sum()
}

#[test]
fn training_on_a_full_disk_says_which_file_and_goes_on_when_there_is_room() {
    let through = folder();
    finish(through.path());
    let expected = numbers(through.path());
    let mut failed = BTreeSet::new();
    // Files are longer the later they are written, so that a higher limit stops a later one.
    for (blocks, begun) in [(0, false), (0, true), (8, false), (14, false), (22, false), (100, false)] {
        let folder = folder();
        if begun {
            fs::create_dir(folder.path().join("run")).unwrap();
            fs::copy(through.path().join("run/run.json"), folder.path().join("run/run.json")).unwrap();
        }
        let output = limited(folder.path(), blocks, &arguments("run"));
        let path = refused(folder.path(), &output);
        failed.insert(path.rsplit('/').next().unwrap().to_owned());
        assert_whole(folder.path());
        finish(folder.path());
        assert_eq!(numbers(folder.path()), expected, "{blocks} blocks, {path}");
    }
    let all = ["checkpoint.safetensors", "metrics.jsonl", "report.html", "run.json", "warmed-up.safetensors"];
    assert_eq!(failed.iter().map(String::as_str).collect::<Vec<_>>(), all);
    // What a finished run writes once more stays as it was.
    let before = files(through.path());
    let output = limited(through.path(), 0, &arguments("run"));
    assert_eq!(refused(through.path(), &output), "run/run.json");
    assert!(files(through.path()) == before, "a file has changed");
    let output = limited(through.path(), 0, &["compare", "run", "run", "--out", "both"]);
    assert_eq!(refused(through.path(), &output), "both/report.html");
}

#[test]
fn what_was_there_stays_where_a_command_cannot_write() {
    let folder = folder();
    let loose = "loss=token_mean( log_prob )\n";
    for (name, text) in [("loose.aent", loose), ("aent.1", "old")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let output = limited(folder.path(), 0, &["fmt", "loose.aent"]);
    assert_eq!(refused(folder.path(), &output), "loose.aent");
    assert_eq!(fs::read_to_string(folder.path().join("loose.aent")).unwrap(), loose);
    let output = limited(folder.path(), 0, &["man", "--out", "."]);
    assert_eq!(refused(folder.path(), &output), "./aent.1");
    assert_eq!(fs::read_to_string(folder.path().join("aent.1")).unwrap(), "old");
}

#[test]
fn a_step_on_a_full_disk_leaves_the_old_results_and_the_old_state() {
    use tch::{Device, Kind, Tensor};
    let folder = folder();
    let numbers = Tensor::arange(24, (Kind::Float, Device::Cpu)).sin();
    let fields = [
        ("logits", numbers.view([2, 3, 4])),
        ("actions", Tensor::arange(6, (Kind::Int64, Device::Cpu)).remainder(4).view([2, 3])),
        ("response_mask", Tensor::ones([2, 3], (Kind::Bool, Device::Cpu))),
        ("old_log_prob", Tensor::full([2, 3], -1.5, (Kind::Float, Device::Cpu))),
        ("advantages", Tensor::from_slice(&[1f32, -1.0])),
    ];
    Tensor::write_safetensors(&fields, folder.path().join("batch.safetensors")).unwrap();
    for option in ["--out", "--save-state"] {
        fs::write(folder.path().join("old"), "old").unwrap();
        let args = ["eval", "small.aent", "--batch", "batch.safetensors", option, "old"];
        let output = limited(folder.path(), 0, &args);
        assert_eq!(refused(folder.path(), &output), "old");
        assert_eq!(fs::read_to_string(folder.path().join("old")).unwrap(), "old", "{option}");
        assert!(limited(folder.path(), 1000, &args).status.success());
    }
}

#[test]
fn a_run_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    for (out, reason) in
        [("small.aent/run", "Not a directory"), ("small.aent", "exists"), ("/proc/run", "No such file")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_aent"))
            .args(RUN)
            .args(["--out", out])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("cannot create `{out}`")) && said.contains(reason), "{said}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("small.aent")).unwrap(), SPEC);
}
