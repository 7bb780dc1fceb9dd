//! `aent train` where its surroundings fail: killed at any moment, on a full disk, in folders that cannot be made. What it
//! leaves is whole, and the run goes on from there to the numbers of one that nothing happened to.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wrote has failed")]

mod full;
mod killed;
mod two;

use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A spec with a controller, whose state is in each checkpoint.
const SPEC: &str = "\
let entropy = clamped_entropy(drop = 30%)
controller beta = band(signal = token_mean(entropy), target = 0.05 .. 0.23, step = 0.1, bounds = 0 .. 1, init = 1e-3)
loss = token_mean(clip_ppo(low = 0.2, high = 0.28)) - beta * token_mean(entropy)
";

/// Three checkpoints of a model that is as small as can be.
const RUN: [&str; 9] =
    ["train", "small.aent", "--task", "arithmetic", "--steps", "75", "--seeds", "0", "--quiet"];
const SETTINGS: [&str; 11] = [
    "warmup_steps=3",
    "warmup_batch=8",
    "prompts=2",
    "group=2",
    "held_out=4",
    "vocabulary=13",
    "width=4",
    "layers=1",
    "heads=1",
    "epochs=1",
    "longest_answer=4",
];

/// A working folder with the spec in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.aent"), SPEC).unwrap();
    folder
}

/// The arguments of the run, into the folder `run` of the working folder.
fn arguments(out: &str) -> Vec<String> {
    let settings = SETTINGS.iter().flat_map(|of| ["--task-set", of]);
    RUN.into_iter().chain(settings).chain(["--out", out]).map(str::to_owned).collect()
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aent"));
    command.args(arguments("run")).current_dir(folder);
    command
}

/// Trains to the end.
fn finish(folder: &Path) {
    let output = command(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// All files of the run by their names, without those that a kill may leave behind.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let run = folder.join("run");
    let mut all = BTreeMap::new();
    let mut open = vec![run.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if !entry.file_name().to_string_lossy().starts_with(aent_files::PREFIX) {
                let name = entry.path().strip_prefix(&run).unwrap().to_owned();
                all.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    all
}

/// What a finished run computed: all its files but the report, which shows them, and the moment it began.
fn numbers(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(folder);
    assert!(files.remove(Path::new("report.html")).is_some());
    let mut run: Value = serde_json::from_slice(&files[Path::new("run.json")]).unwrap();
    assert!(run.as_object_mut().unwrap().remove("created").is_some());
    files.insert("run.json".into(), run.to_string().into_bytes());
    assert!(files.len() >= 5, "{:?}", files.keys());
    files
}

/// Each file that is there is whole; of metrics only the last line may have no end.
#[track_caller]
fn assert_whole(folder: &Path) {
    for (name, bytes) in files(folder) {
        let said = name.display();
        match name.extension().and_then(|of| of.to_str()) {
            Some("json") => assert!(serde_json::from_slice::<Value>(&bytes).is_ok(), "{said}"),
            Some("safetensors") => assert!(SafeTensors::deserialize(&bytes).is_ok(), "{said}"),
            Some("html") => assert!(bytes.trim_ascii_end().ends_with(b"</html>"), "{said}"),
            Some("jsonl") => {
                let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let lines = bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                for line in lines {
                    assert!(serde_json::from_slice::<Value>(line).is_ok(), "{said}");
                }
            }
            _ => assert_eq!(name, Path::new(".lock")),
        }
    }
}
