//! Programs give the numbers that a second implementation gives, which was written from the documents alone: losses, metrics,
//! signals, gradients, and coefficients over ten steps.

mod compare;
mod files;
mod library;

use crate::extent;
use crate::generate::{Manner, choices, program};
use crate::recipes::{self, recipes};
use aent::testing::{Case, Extent, rough, sample, smooth};
use compare::{Counts, Layout, steps};
use files::{Files, spread};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::fs;

/// Two batches, whether they are poisoned where they do not count, and how they come.
type Batches = (Case, Case, bool, Layout);

fn batches(rough_ones: bool) -> BoxedStrategy<Batches> {
    // Rewards are often alike, and tenths are rounded.
    let alike = |mut case: Case| {
        for reward in &mut case.rewards {
            *reward = reward.round() / 10.0;
        }
        case
    };
    let one = || {
        if rough_ones {
            prop_oneof![rough(extent()), rough(extent()).prop_map(alike)].boxed()
        } else {
            smooth(extent()).boxed()
        }
    };
    let layout = prop_oneof![
        4 => Just(Layout::Padded),
        2 => Just(Layout::Packed),
        1 => Just(Layout::Hidden),
        1 => Just(Layout::OwnLogProb),
    ];
    (one(), one(), any::<bool>(), layout).boxed()
}

/// Compares ten steps of a program on two batches in turn, three where no controller moves.
fn compare(files: &Files, batches: &Batches) -> Result<Counts, String> {
    let (first, second, poisoned, layout) = batches;
    let mut cases = [first.clone(), second.clone()];
    let fits = match layout {
        // A packed batch has a token.
        Layout::Packed => cases.iter().all(|case| case.mask.contains(&true)),
        // An output layer bans no token.
        Layout::Hidden => cases.iter().all(|case| case.logits.iter().all(|logit| logit.is_finite())),
        _ => true,
    };
    let layout = if fits { *layout } else { Layout::Padded };
    for case in &mut cases {
        if layout == Layout::Packed {
            // It is as wide as its longest sequence.
            *case = case.trimmed();
        }
        if *poisoned {
            *case = case.poisoned();
        }
    }
    match files.compiled() {
        // The checker refuses a logarithm of what is never positive.
        Err(words) if words.contains("error[outside-domain]") => {
            Ok(Counts { refused: 1, ..Counts::default() })
        }
        compiled => steps(&files.judged()?, &compiled?, &cases, layout, 10),
    }
}

/// Compares programs that a strategy makes, and shrinks one that differs.
#[expect(clippy::print_stderr, reason = "shrinking takes a while, and whoever waits should know of what")]
fn hunt<T: Debug>(
    programs: u32,
    seed: u64,
    strategy: &impl Strategy<Value = (T, Batches)>,
    files: impl Fn(&T) -> Files,
) -> Counts {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { cases: programs, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (counts, differs) = (RefCell::new(Counts::default()), Cell::new(false));
    let run = runner.run(strategy, |(made, batches)| {
        let found = compare(&files(&made), &batches);
        if let (Err(words), false) = (&found, differs.replace(found.is_err() || differs.get())) {
            eprintln!("{words}\nin\n{}\nis being shrunk", files(&made));
        }
        let found = found.map_err(TestCaseError::fail)?;
        counts.borrow_mut().add(found);
        Ok(())
    });
    match run {
        Ok(()) => counts.into_inner(),
        Err(TestError::Fail(reason, (made, batches))) => {
            panic!("{reason}\nin\n{}\non\n{batches:?}\nafter {:?}", files(&made), counts.borrow())
        }
        Err(error) => panic!("{error}"),
    }
}

/// Most numbers have to be determined, or nothing was compared.
#[track_caller]
fn says_something(counts: &Counts) {
    assert!(counts.undetermined * 10 < counts.numbers, "{counts:?}");
    assert!((counts.unspecified + counts.refused) * 5 < counts.programs, "{counts:?}");
}

fn tame(programs: u32, seed: u64) -> Counts {
    hunt(programs, seed, &(choices(), batches(false)), |choices| program(choices, Manner::Tame).into())
}

fn wild(programs: u32, seed: u64) -> Counts {
    hunt(programs, seed, &(choices(), batches(true)), |choices| program(choices, Manner::Wild).into())
}

fn in_files(programs: u32, seed: u64) -> Counts {
    hunt(programs, seed, &(choices(), batches(false)), |choices| spread(choices, Manner::Tame))
}

fn of_library(programs: u32, seed: u64, rough_ones: bool) -> Counts {
    hunt(programs, seed, &(choices(), batches(rough_ones)), |choices| library::program(choices).into())
}

#[test]
fn tame_programs_give_the_numbers_of_the_second_implementation() {
    says_something(&tame(100, 1));
}

#[test]
fn wild_programs_on_rough_batches_give_the_numbers_of_the_second_implementation() {
    wild(100, 2);
}

#[test]
fn programs_in_several_files_with_params_from_outside_give_the_numbers_of_the_second_implementation() {
    says_something(&in_files(100, 5));
}

#[test]
fn programs_of_the_library_give_the_numbers_of_the_second_implementation() {
    says_something(&of_library(60, 3, false));
    of_library(60, 4, true);
}

#[test]
fn recipes_give_the_numbers_of_the_second_implementation() {
    let extent = || Extent { vocabulary: 2..=9, ..Extent::default() };
    let cases = [sample(&smooth(extent()), 2), sample(&rough(extent()), 2)].concat();
    let mut counts = Counts::default();
    for name in recipes() {
        let judged = Files::from(recipes::text(&name)).judged().unwrap();
        let compiled = recipes::compiled(&name);
        for pair in cases.chunks(2) {
            let found = steps(&judged, &compiled, pair, Layout::Padded, 4);
            counts.add(found.unwrap_or_else(|words| panic!("{name}: {words}\non\n{pair:?}")));
        }
    }
    says_something(&counts);
}

#[test]
fn files_that_once_differed_do_not() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/oracle/found");
    let cases = [sample(&rough(extent()), 10), sample(&smooth(extent()), 4)].concat();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let files = fs::read_to_string(&path).unwrap().into();
        for pair in cases.chunks(2) {
            let batches = (pair[0].clone(), pair[1].clone(), true, Layout::Padded);
            let counts = compare(&files, &batches);
            let counts = counts.unwrap_or_else(|words| panic!("{}: {words}\non\n{pair:?}", path.display()));
            assert!(counts.refused == 0 && counts.unspecified == 0, "{}: {counts:?}", path.display());
        }
        count += 1;
    }
    assert!(count >= 3, "{count}");
}

/// `ORACLE_PROGRAMS=1000000 ORACLE_SEED=7 cargo test --test programs hunts -- --ignored --nocapture`
#[test]
#[ignore = "runs as long as one likes"]
#[expect(clippy::print_stdout, reason = "the run prints its counts")]
fn hunts_for_differences() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (programs, seed) = (number("ORACLE_PROGRAMS", 10_000), number("ORACLE_SEED", 7));
    let (mut counts, mut round) = (Counts::default(), 0);
    while counts.programs + counts.refused < programs {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(round);
        let kinds = [
            tame(200, seed),
            wild(200, seed),
            in_files(200, seed),
            of_library(200, seed, false),
            of_library(200, seed, true),
        ];
        for found in kinds {
            counts.add(found);
        }
        round += 1;
        println!("{counts:?}");
    }
}
