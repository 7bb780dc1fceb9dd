//! Any text is answered: by the parser, the checker, `explain`, `fmt`, each format of findings and each fix.
//!
//! The texts are the examples and those of the diagnostics, with random edits of their tokens, and texts of any characters.

#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wrote has failed")]

mod folder;
mod judge;
mod mended;
mod mutate;

use judge::{Counts, judge};
use mutate::{edited, edits, seeds};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;

/// Judges as many texts, and shrinks one that is answered wrongly.
fn hunt<T: std::fmt::Debug>(
    cases: u32,
    seed: u64,
    strategy: impl Strategy<Value = T>,
    text: impl Fn(&T) -> String,
) -> Counts {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let counts = RefCell::new(Counts::default());
    let run = runner.run(&strategy, |made| {
        counts.borrow_mut().add(judge(&text(&made)).map_err(TestCaseError::fail)?);
        Ok(())
    });
    match run {
        Ok(()) => counts.into_inner(),
        Err(TestError::Fail(reason, made)) => panic!("{reason}\nin\n{}\n{:?}", text(&made), text(&made)),
        Err(error) => panic!("{error}"),
    }
}

fn mutated(cases: u32, seed: u64) -> Counts {
    let seeds = seeds();
    hunt(cases, seed, (any::<prop::sample::Index>(), edits()), |(which, edits)| {
        edited(&seeds[which.index(seeds.len())], edits)
    })
}

fn arbitrary(cases: u32, seed: u64) -> Counts {
    let any_text = prop_oneof![
        "\\PC{0,80}",
        "[a-z0-9 .,=()+*^<>!&\"'#%:\\\\/;\n\réβ{}-]{0,80}",
        proptest::collection::vec(any::<char>(), 0..40).prop_map(|of| of.into_iter().collect()),
    ];
    hunt(cases, seed, any_text, String::clone)
}

#[test]
fn examples_are_answered_as_they_are() {
    let mut counts = Counts::default();
    for text in seeds() {
        counts.add(judge(&text).unwrap_or_else(|words| panic!("{words}\nin\n{text}")));
    }
    assert!(counts.compiled > 100 && counts.findings > 50 && counts.fixes > 5, "{counts:?}");
}

#[test]
fn mutated_texts_are_answered() {
    let counts = mutated(1000, 1);
    // Texts of all sorts: broken ones, ones that only parse, ones that compile.
    let sorts =
        [counts.texts - counts.parsed, counts.parsed - counts.compiled, counts.compiled, counts.fixes];
    assert!(sorts.iter().all(|of| *of > 50), "{counts:?}");
}

#[test]
fn arbitrary_texts_are_answered() {
    arbitrary(300, 2);
}

/// `TEXTS=100000 TEXTS_SEED=7 cargo test -p aent-cli --test texts hunts -- --ignored --nocapture`
#[test]
#[ignore = "runs as long as one likes"]
#[expect(clippy::print_stdout, reason = "the run prints its counts")]
fn hunts_for_texts_that_are_answered_wrongly() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (texts, seed) = (number("TEXTS", 10_000), number("TEXTS_SEED", 7));
    let (mut counts, mut round) = (Counts::default(), 0);
    while u64::from(counts.texts) < texts {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(round);
        counts.add(mutated(900, seed));
        counts.add(arbitrary(100, seed));
        round += 1;
        println!("{counts:?}");
    }
}
