//! Runs the Markdown suites of this folder.
//!
//! A block of `aent` is a file. A line of it that is wrong says so, at its end or in a comment of its own above it:
//! `# error: [unknown-name] "there is no `x`"`. Line, severity, id and the whole message must agree, and nothing else may be
//! found. A block without a `loss` gets one, unless its opening fence says `aent whole`. A block that follows a line
//! with nothing but a file name in backticks and a colon is a file that later blocks of its section can import.

use super::{Found, Memory, check};
use aent::Compiler;
use std::fmt::Write as _;
use std::fs;

const LOSS: &str = "loss = -token_mean(advantages * log_prob)";

/// The texts of all blocks that need no other file.
pub(crate) fn texts() -> impl Iterator<Item = String> {
    let blocks = suites().into_iter().flat_map(|(_, markdown)| read(&markdown));
    blocks.filter(|block| block.neighbours.0.is_empty()).map(|block| block.text)
}

/// The suites with their names.
fn suites() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|of| of == "md"));
    paths.sort();
    assert!(!paths.is_empty());
    let read = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_suite_finds_what_it_says_and_nothing_else() {
    let (mut blocks, mut wrong) = (0, String::new());
    for (name, markdown) in suites() {
        for block in read(&markdown) {
            blocks += 1;
            if let Err(difference) = run(&block) {
                let _ = write!(wrong, "\n{name}:{}, \"{}\":\n{difference}", block.line, block.section);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(blocks > 100, "only {blocks} blocks were found");
}

/// A file to check, with its neighbours.
struct Block {
    section: String,
    /// Of the Markdown file, where the block begins.
    line: usize,
    text: String,
    neighbours: Memory,
}

fn read(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut section, mut neighbours, mut name) = (String::new(), Memory::default(), None);
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(heading) = line.strip_prefix('#') {
            heading.trim_start_matches('#').trim().clone_into(&mut section);
            neighbours = Memory::default();
        }
        if let Some(file) = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) {
            name = Some(file.to_owned());
        }
        let Some(fence) = line.strip_prefix("```aent") else { continue };
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            text.push_str(line);
            text.push('\n');
        }
        if let Some(name) = name.take() {
            neighbours = neighbours.with(&name, text);
            continue;
        }
        if fence.trim() != "whole" && !text.lines().any(|line| line.starts_with("loss")) {
            text.push_str(LOSS);
            text.push('\n');
        }
        blocks.push(Block {
            section: section.clone(),
            line: number + 1,
            text,
            neighbours: neighbours.clone(),
        });
    }
    blocks
}

fn run(block: &Block) -> Result<(), String> {
    let compiler = Compiler::new().loader(block.neighbours.clone());
    let mut found = check(&compiler, "spec.aent", &block.text);
    let mut expected = expectations("spec.aent", &block.text);
    for (name, bytes) in &block.neighbours.0 {
        // A neighbour that the block does not import says nothing.
        if block.text.contains(&format!("\"{name}\"")) {
            expected.extend(expectations(name, std::str::from_utf8(bytes).unwrap()));
        }
    }
    found.sort();
    expected.sort();
    let mut difference = String::new();
    for item in found.iter().filter(|item| !expected.contains(item)) {
        let _ = writeln!(difference, "  found     {}", shown(item));
    }
    for item in expected.iter().filter(|item| !found.contains(item)) {
        let _ = writeln!(difference, "  expected  {}", shown(item));
    }
    if difference.is_empty() { Ok(()) } else { Err(difference) }
}

fn shown(item: &Found) -> String {
    format!("{}:{} # {}: [{}] \"{}\"", item.file, item.line, item.severity, item.id, item.message)
}

fn expectations(file: &str, text: &str) -> Vec<Found> {
    let mut expected = Vec::new();
    // Notes on lines of their own, for the next line of the language.
    let mut waiting = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let notes = notes(line);
        let alone =
            line.trim_start().starts_with("# error: [") || line.trim_start().starts_with("# warning: [");
        if alone {
            waiting.extend(notes);
            continue;
        }
        for (severity, id, message) in waiting.drain(..).chain(notes) {
            expected.push(Found { file: file.to_owned(), line: index + 1, severity, id, message });
        }
    }
    assert!(waiting.is_empty(), "a note stands below everything: {waiting:?}");
    expected
}

fn notes(line: &str) -> Vec<(&'static str, String, String)> {
    let mut notes = Vec::new();
    let mut rest = line;
    while let Some((at, severity)) = ["error", "warning"]
        .into_iter()
        .filter_map(|severity| Some((rest.find(&format!("# {severity}: ["))?, severity)))
        .min()
    {
        let note = &rest[at + severity.len() + "# : [".len()..];
        let end = ["# error: [", "# warning: ["].iter().filter_map(|mark| note.find(mark)).min();
        let (this, following) = note.split_at(end.unwrap_or(note.len()));
        let (id, message) = this.split_once(']').expect("a note has `[id]`");
        let message = message.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        notes.push((severity, id.to_owned(), message.expect("a note has a message in quotes").to_owned()));
        rest = following;
    }
    notes
}
