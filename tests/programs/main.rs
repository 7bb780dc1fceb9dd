//! Properties of generated programs and of the recipes: what checks also prints, saves, runs, and can be cut into micro-batches
//! and dealt out to ranks.

#![expect(clippy::unwrap_used, reason = "what is unwrapped here is under test")]

mod cuts;
mod generate;
mod hostile;
mod layouts;
mod oracle;
mod ranks;
mod recipes;
mod rewritten;
mod run;
mod shards;
mod texts;
mod vocabulary;

use aent::plan::FirstPass;
use aent::program::Program;
use aent::span::SourceId;
use aent::tensor::Tensor;
use aent::testing::{Case, Extent, rough, sample, smooth};
use aent::{Session, compile};
use aent_plugin_template as _;
use generate::{Manner, choices, program};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use run::{cut, leaves, parts, session, whole};
use std::cell::RefCell;
use std::collections::BTreeMap;
use tch::Kind;

/// The same cases on every run; `PROPTEST_CASES` asks for more of them.
fn runner(cases: u32) -> TestRunner {
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    let config = if asked { Config::default() } else { Config::with_cases(cases) };
    let config = Config { failure_persistence: None, ..config };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value)) {
    let run = runner(cases).run(&strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
}

#[track_caller]
fn compiled(text: &str) -> Program {
    compile(text).unwrap_or_else(|failure| panic!("{failure}\nin\n{text}"))
}

/// The kinds of logits.
fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Double, Kind::Float, Kind::BFloat16])
}

fn extent() -> Extent {
    Extent { sequences: 1..=5, width: 1..=5, vocabulary: 2..=6 }
}

#[test]
fn a_well_typed_program_checks_and_compiles_to_the_same_on_every_run() {
    check(400, choices(), |choices| {
        let text = program(&choices, Manner::Wild);
        let first = compiled(&text).to_string();
        assert_eq!(first, compiled(&text).to_string(), "{text}");
    });
}

#[test]
fn what_is_printed_is_the_same_program() {
    check(400, choices(), |choices| {
        let text = program(&choices, Manner::Wild);
        let (file, found) = aent::syntax::parse(SourceId(0), &text);
        assert!(!found.has_errors(), "{text}");
        let printed = aent::syntax::print(&file, &text);
        assert_eq!(compiled(&printed).to_string(), compiled(&text).to_string(), "{text}\nprinted\n{printed}");
    });
}

#[test]
fn a_program_runs_on_any_batch_and_a_saved_one_gives_the_same_numbers() {
    check(300, (choices(), rough(extent())), |(choices, case)| {
        let text = program(&choices, Manner::Wild);
        let program = compiled(&text);
        let saved = serde_json::to_string(&program).unwrap();
        let restored: Program =
            serde_json::from_str(&saved).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
        assert_eq!(restored.to_string(), program.to_string(), "{text}");
        let run =
            |program| whole(&session(program), &case).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
        let (found, again) = (run(program), run(restored));
        assert!(found.same_bits(&again), "{text}\n{found:?}\n{again:?}");
    });
}

#[test]
fn what_is_masked_out_reaches_no_bit_of_any_result() {
    check(400, (choices(), rough(extent())), |(choices, case)| {
        let text = program(&choices, Manner::Wild);
        let session = session(compiled(&text));
        let clean = whole(&session, &case).unwrap();
        let poisoned =
            whole(&session, &case.poisoned()).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
        assert!(clean.same_bits(&poisoned), "{text}\n{clean:?}\n{poisoned:?}");
        let lets = |case: &Case| {
            let output = session.forward(&leaves(case).batch).unwrap();
            let bits = |tensor: &Tensor| tensor.to_f64s().unwrap().into_iter().map(f64::to_bits).collect();
            let named =
                |(name, tensor): (&str, &Tensor)| (name.to_owned(), (format!("{tensor:?}"), bits(tensor)));
            output.lets().map(named).collect::<BTreeMap<String, (String, Vec<u64>)>>()
        };
        assert_eq!(lets(&case), lets(&case.poisoned()), "{text}");
    });
}

#[test]
fn a_column_of_padding_makes_no_number_nan() {
    check(400, (choices(), smooth(extent())), |(choices, mut case)| {
        let text = program(&choices, Manner::Wild);
        let session = session(compiled(&text));
        case.mask.fill(true);
        let (narrow, padded) = (whole(&session, &case).unwrap(), whole(&session, &padded(&case)).unwrap());
        let (width, v) = (case.width, case.vocabulary);
        let kept = |gradient: &[f64], each: usize| -> Vec<bool> {
            let rows = gradient.chunks((width + 1) * each);
            rows.flat_map(|row| row[..width * each].iter().map(|x| x.is_nan())).collect()
        };
        let nan = |numbers: &[f64]| numbers.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
        assert_eq!(kept(&padded.logits_gradient, v), nan(&narrow.logits_gradient), "{text}");
        assert_eq!(kept(&padded.values_gradient, 1), nan(&narrow.values_gradient), "{text}");
        assert_eq!(padded.loss.is_nan(), narrow.loss.is_nan(), "{text}");
    });
}

#[test]
fn a_slope_that_is_infinite_where_nothing_counts_reaches_no_token_through_a_mean() {
    let extent = Extent { sequences: 2..=2, width: 3..=3, vocabulary: 3..=3 };
    let mut case = sample(&smooth(extent), 1).remove(0);
    case.mask = vec![true, true, false, true, true, true];
    for (name, values) in &mut case.tokens {
        if *name == "advantages" {
            values.fill(0.0);
        }
    }
    let text = "input weight: token\n\
        loss = token_mean(1 / (weight - clip_cov(share = 20%, bounds = 0.1 .. 5).covariance))";
    let found = whole(&session(compiled(text)), &case).unwrap();
    assert!(found.logits_gradient.iter().all(|slope| slope.is_finite()), "{found:?}");
}

#[test]
fn any_cut_into_micro_batches_gives_the_step_of_the_whole() {
    let seen = RefCell::new(BTreeMap::<FirstPass, u32>::new());
    let cuts = proptest::collection::vec(any::<bool>(), 4);
    let full = any::<prop::sample::Index>();
    check(500, (choices(), smooth(extent()), cuts, full), |(choices, case, cuts, full)| {
        let text = program(&choices, Manner::Tame);
        let session = session(compiled(&text));
        *seen.borrow_mut().entry(session.plan().first_pass).or_default() += 1;
        let expected = whole(&session, &case).unwrap();
        let found = parts(&session, &case, &cut_at(&case, &cuts, full));
        let found = found.unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
        if let Some(difference) = found.difference(&expected, 1e-7) {
            panic!("{:?}\n{text}\n{difference}", session.plan().first_pass);
        }
    });
    let seen = seen.into_inner();
    for kind in [FirstPass::Counts, FirstPass::Fields, FirstPass::Model] {
        assert!(seen.get(&kind).is_some_and(|count| *count >= 20), "{kind:?}: {seen:?}");
    }
}

#[test]
fn micro_batches_observe_what_the_whole_step_observes() {
    check(100, (choices(), smooth(extent()), any::<prop::sample::Index>()), |(choices, case, full)| {
        let text = program(&choices, Manner::Tame);
        let (mut one, mut many) = (session(compiled(&text)), session(compiled(&text)));
        for _ in 0..3 {
            let output = one.forward(&leaves(&case).batch).unwrap();
            one.update(&output).unwrap();
            let parts = cut_at(&case, &[true; 4], full);
            let output = stepped(&many, &parts);
            many.update(&output).unwrap();
            let (one, many) = (one.coefficients(), many.coefficients());
            for (name, value) in &one {
                assert!((value - many[name]).abs() < 1e-9, "{name}: {value} and {}\n{text}", many[name]);
            }
        }
    });
}

fn stepped(session: &Session, parts: &[(usize, Case)]) -> aent::Output {
    let leaves: Vec<_> = parts.iter().map(|(_, part)| leaves(part)).collect();
    let mut step = session.accumulate();
    for part in &leaves {
        step.measure(&part.batch).unwrap();
    }
    for part in &leaves {
        step.forward(&part.batch).unwrap().backward().unwrap();
    }
    step.finish().unwrap()
}

/// Parts that begin where `cuts` says, without their last columns if nothing in them counts. One part keeps its
/// width, which is the step's.
fn cut_at(case: &Case, cuts: &[bool], full: prop::sample::Index) -> Vec<(usize, Case)> {
    let mut starts = vec![0];
    starts.extend((1..case.sequences).filter(|start| cuts[start - 1]));
    let full = full.index(starts.len());
    let ends = starts.iter().skip(1).copied().chain([case.sequences]);
    let ranges = starts.iter().copied().zip(ends).enumerate();
    let parts = ranges.map(|(index, (start, end))| {
        let part = case.part(start..end);
        let used =
            part.mask.chunks(case.width).map(|row| row.iter().rposition(|m| *m).map_or(0, |at| at + 1));
        let width = if index == full { case.width } else { used.max().unwrap_or(0).max(1) };
        (start, cut(case, start..end, width))
    });
    parts.collect()
}

/// The case with one more column that does not count: zeros, where logarithms and quotients have no value.
fn padded(case: &Case) -> Case {
    fn pad<T: Copy>(values: &[T], row: usize, more: usize, with: T) -> Vec<T> {
        values.chunks(row).flat_map(|row| row.iter().copied().chain(vec![with; more])).collect()
    }
    let (width, v) = (case.width, case.vocabulary);
    Case {
        width: width + 1,
        logits: pad(&case.logits, width * v, v, 0.0),
        ref_logits: pad(&case.ref_logits, width * v, v, 0.0),
        actions: pad(&case.actions, width, 1, 0),
        mask: pad(&case.mask, width, 1, false),
        tokens: case.tokens.iter().map(|(name, values)| (*name, pad(values, width, 1, 0.0))).collect(),
        turn: pad(&case.turn, width, 1, 0),
        ..case.clone()
    }
}
