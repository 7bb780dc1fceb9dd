//! Every recipe under `examples/recipes` checks without a finding, runs, and can be cut into micro-batches.

use crate::run::{cut, leaves, parts, session, whole};
use aent::span::SourceId;
use aent::syntax::{parse, print};
use aent::testing::{Case, Extent, rough, sample, smooth};
use aent::{Program, Session, compile_file};
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recipes"))
}

/// The names of the files, without their ending.
pub(crate) fn recipes() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let recipes = files.filter(|path| path.extension().is_some_and(|of| of == "aent"));
    let mut names: Vec<String> =
        recipes.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.aent"))).unwrap()
}

pub(crate) fn compiled(name: &str) -> Program {
    let program = compile_file(folder().join(format!("{name}.aent")))
        .unwrap_or_else(|failure| panic!("{name}: {failure}"));
    let found: Vec<String> =
        program.warnings().iter().map(|of| format!("{}: {}", of.id, of.message)).collect();
    assert!(found.is_empty(), "{name}: {found:?}");
    program
}

/// A session after some steps, so that coefficients have left where they began.
pub(crate) fn underway(name: &str, case: &Case, session: fn(Program) -> Session) -> Session {
    let mut session = session(compiled(name));
    for _ in 0..3 {
        let leaves = leaves(case);
        let output = session.forward(&leaves.batch).unwrap_or_else(|error| panic!("{name}: {error}"));
        session.update(&output).unwrap();
    }
    session
}

#[test]
fn there_are_many_recipes_and_the_index_names_exactly_them() {
    let recipes = recipes();
    assert!(recipes.len() >= 30, "{}", recipes.len());
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let lines = index.lines().filter_map(|line| line.strip_prefix("- ["));
    let mut named: Vec<String> = lines
        .map(|line| {
            let (name, rest) = line.strip_prefix('`').unwrap().split_once(".aent`](").unwrap();
            let says = rest.strip_prefix(&format!("{name}.aent): ")).unwrap_or_else(|| panic!("{line}"));
            assert!(says.len() > 20, "{line}");
            name.to_owned()
        })
        .collect();
    named.sort();
    assert_eq!(named, recipes);
}

#[test]
fn every_recipe_is_in_the_canonical_layout_and_says_what_it_is() {
    for name in recipes() {
        let text = text(&name);
        let (tree, _) = parse(SourceId(0), &text);
        assert!(print(&tree, &text) == text, "`aent fmt examples/recipes/{name}.aent` changes it");
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(!head.is_empty() && head.len() <= 3, "{name}: {head:?}");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert!(lines.count() <= 20, "{name} is no recipe of some ten lines");
    }
}

#[test]
fn every_recipe_gives_a_finite_loss_and_a_finite_gradient() {
    let mut cases = sample(&smooth(Extent { vocabulary: 2..=9, ..Extent::default() }), 6);
    cases.extend(sample(&rough(Extent { vocabulary: 2..=9, ..Extent::default() }), 10));
    // One prompt with many samples of which few are right, for what compares them.
    let prompt = sample(&smooth(Extent::exactly(8, 2, 5)), 1).remove(0);
    let rewards = vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    cases.push(Case { group: vec![0; 8], rewards, ..prompt });
    for name in recipes() {
        let mut reached = false;
        for case in &cases {
            let session = underway(&name, case, session);
            for case in [case, &case.poisoned()] {
                let numbers = whole(&session, case).unwrap_or_else(|error| panic!("{name}: {error}"));
                let gradients = numbers.logits_gradient.iter().chain(&numbers.values_gradient);
                let all = std::iter::once(&numbers.loss).chain(numbers.reported.values()).chain(gradients);
                assert!(all.into_iter().all(|number| number.is_finite()), "{name}: {numbers:?}\n{case:?}");
                reached |= numbers.logits_gradient.iter().any(|slope| slope.abs() > 1e-6);
            }
        }
        assert!(reached, "{name} never moves the policy");
    }
}

#[test]
fn every_recipe_gives_the_same_step_however_it_is_cut() {
    let cases = sample(&smooth(Extent { sequences: 4..=4, width: 2..=4, vocabulary: 2..=6 }), 2);
    for name in recipes() {
        for case in &cases {
            let session = underway(&name, case, session);
            let expected = whole(&session, case).unwrap();
            for cuts in 1..8_usize {
                let mut starts = vec![0];
                starts.extend((1..4).filter(|start| cuts >> (start - 1) & 1 == 1));
                let ends = starts.iter().skip(1).copied().chain([case.sequences]);
                let ranges = starts.iter().copied().zip(ends);
                let pieces: Vec<(usize, Case)> =
                    ranges.map(|(start, end)| (start, cut(case, start..end, case.width))).collect();
                let found = parts(&session, case, &pieces).unwrap();
                if let Some(difference) = found.difference(&expected, 1e-7) {
                    panic!("{name} cut at {starts:?}: {difference}");
                }
            }
        }
    }
}
