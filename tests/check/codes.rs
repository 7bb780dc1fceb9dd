//! The table of diagnostics: complete, sorted, and with examples that show what they say.

use super::ids;
use aent::Compiler;
use aent::diag::codes::CODES;
use std::fs;
use std::path::Path;

/// These need more than one small file; `apart.rs` shows them.
const APART: &[&str] = &[
    "ambiguous-name",
    "expression-too-large",
    "file-too-large",
    "ignored-setting",
    "import-cycle",
    "needs-whole-step",
    "nesting-too-deep",
    "not-utf8",
    "program-too-large",
    "too-many-errors",
    "unknown-param",
    "unreadable-file",
];

#[test]
fn ids_are_sorted_and_explained() {
    assert!(CODES.is_sorted_by(|a, b| a.id < b.id));
    for code in CODES {
        let words = code.explanation.split_whitespace().count();
        assert!(words >= 12, "`{}` is explained in {words} words", code.id);
    }
}

#[test]
fn every_example_gives_its_diagnostic_and_no_other() {
    for code in CODES {
        match code.example() {
            Some(example) => assert_eq!(ids(&Compiler::new(), example), [code.id], "{example}"),
            None => assert!(APART.contains(&code.id), "`{}` needs an example", code.id),
        }
    }
}

#[test]
fn every_remedy_has_nothing_wrong() {
    for code in CODES.iter().filter(|code| code.example().is_some()) {
        let remedy = code.remedy().unwrap_or_else(|| panic!("`{}` needs a remedy", code.id));
        assert_eq!(ids(&Compiler::new(), remedy), [""; 0], "{}: {remedy}", code.id);
    }
}

#[test]
fn lints_are_those_that_the_checker_warns_of() {
    for code in CODES {
        let Some(example) = code.example() else {
            assert!(!code.is_lint || APART.contains(&code.id), "{}", code.id);
            continue;
        };
        assert_eq!(aent::compile(example).is_ok(), code.is_lint, "{}", code.id);
    }
}

#[test]
fn every_lint_can_be_silenced() {
    for code in CODES.iter().filter(|code| code.is_lint && code.id != "unknown-directive") {
        let Some(example) = code.example() else { continue };
        let text = format!("# aent: allow-file({})\n{example}", code.id);
        assert_eq!(ids(&Compiler::new(), &text), [""; 0], "{text}");
    }
}

#[test]
fn every_explanation_is_in_the_table() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/diag/codes"));
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|of| of == "md") {
            let id = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(CODES.iter().any(|code| code.id == id), "`{id}` is not in the table");
        }
    }
}
