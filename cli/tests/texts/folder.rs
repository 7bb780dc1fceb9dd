//! The program on a folder of mutated files.

use super::mutate::{edited, edits, seeds};
use aent::span::SourceId;
use aent::syntax::parse;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const FILES: usize = 150;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let seeds = seeds();
    for number in 0..FILES {
        let edits = edits().new_tree(&mut runner).unwrap().current();
        let text = edited(&seeds[number % seeds.len()], &edits);
        fs::write(folder.path().join(format!("{number:03}.aent")), text).unwrap();
    }
    folder
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aent"));
    let output = command.args(args).current_dir(folder).env_remove("CLICOLOR_FORCE").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)) && !said.contains("panicked"), "{args:?}: {said}");
    output
}

fn texts(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect()
}

#[test]
fn broken_files_stay_as_they_are_and_others_are_formatted_once() {
    let folder = folder();
    let before = texts(folder.path());
    run(folder.path(), &["fmt", "."]);
    let after = texts(folder.path());
    assert_eq!(after.len(), FILES, "nothing is left beside them");
    let (mut broken, mut changed) = (0, 0);
    for (name, text) in &before {
        if parse(SourceId(0), text).1.has_errors() {
            assert_eq!(&after[name], text, "{name}");
            broken += 1;
        } else {
            changed += usize::from(&after[name] != text);
        }
    }
    assert!(broken > 10 && changed > 10, "{broken} broken, {changed} formatted");
    run(folder.path(), &["fmt", "."]);
    assert_eq!(texts(folder.path()), after);
}

#[test]
fn every_format_of_findings_can_be_read() {
    let folder = folder();
    let stdout = |format: &str| {
        String::from_utf8(run(folder.path(), &["check", ".", "--format", format]).stdout).unwrap()
    };
    let json: Value = serde_json::from_str(&stdout("json")).unwrap();
    let count = json["diagnostics"].as_array().unwrap().len();
    assert!(count > FILES / 2, "{count}");
    let sarif: Value = serde_json::from_str(&stdout("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), count);
    let commands = stdout("github");
    assert_eq!(commands.lines().count(), count);
    assert!(commands.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")));
    assert_eq!(stdout("short").lines().count(), count);
}
