//! The specs that belong to the training tasks: they check without a finding, and the index names them.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aent::Compiler;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The specs in the tasks' folders, by their path from the examples.
fn specs() -> BTreeSet<String> {
    let of_folder = |folder: &str| {
        let files = fs::read_dir(examples().join(folder)).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    ["arithmetic", "language_model", "sparse_mdp"].into_iter().flat_map(of_folder).collect()
}

#[test]
fn every_spec_of_a_task_checks_without_a_finding() {
    for spec in specs() {
        let program = Compiler::new().compile_file(examples().join(&spec)).unwrap();
        let found: Vec<&str> = program.warnings().iter().map(|of| of.message.as_str()).collect();
        assert!(found.is_empty(), "{spec}: {found:?}");
    }
}

#[test]
fn the_index_of_the_examples_names_every_spec_with_its_first_words() {
    let index = fs::read_to_string(examples().join("README.md")).unwrap();
    let entries = index.lines().filter_map(|line| line.strip_prefix("- [`")?.split_once("`]("));
    let named: BTreeSet<String> = entries
        .filter_map(|(_, rest)| rest.split_once("): "))
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|of| of == "aent"))
        .map(|(path, words)| {
            let text = fs::read_to_string(examples().join(path)).unwrap();
            assert!(text.starts_with(&format!("# {words}")), "{path}: {words}");
            path.to_owned()
        })
        .collect();
    assert_eq!(named, specs());
}
