//! Every built-in term, reduction and controller against f64 written from its formula in plain Rust.

mod advantages;
mod along;
mod averages;
mod controllers;
mod divergences;
mod edges;
mod ends;
mod entropies;
mod extremes;
mod gradients;
mod judge;
mod kinds;
mod listed;
mod mismatch;
mod recipes_of_answers;
mod recipes_of_tokens;
mod reductions;
mod reference;
mod references;
mod regression;
mod rules;
mod segments;
mod selections;
mod sequences;
mod surrogates;
mod temperature;
mod terms;
mod values;
mod worked;
mod worked_advantages;
mod worked_surrogates;

use aent::tensor::Tensor as Handle;
use aent::testing::Case;
use aent::{Batch, Kernels, Options, Output, Session, compile};
use tch::{Device, Kind};

/// A session of a program that checks.
fn session(text: &str) -> Session {
    let program = compile(text).unwrap_or_else(|failure| panic!("{failure}\nin\n{text}"));
    Session::with(program, Options { lets: true, ..Options::default() })
}

fn step(text: &str, batch: &Batch) -> Output {
    session(text).forward(batch).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// An expression as a function from a case to its values in f64: one per token, per sequence, or one alone.
fn values(expr: &str) -> impl Fn(&Case) -> Vec<f64> + use<> {
    let session = session(&format!("let value = {expr}\nloss = token_mean(log_prob)"));
    move |case| {
        let output =
            session.forward(&case.leaves(Kind::Double, Device::Cpu).batch).expect("the case is whole");
        numbers(named(&output, "value"))
    }
}

/// The `let` of that name.
fn named<'a>(output: &'a Output, name: &str) -> &'a Handle {
    output.lets().find(|(of, _)| *of == name).expect("the program has this `let`").1
}

fn numbers(tensor: impl Into<Handle>) -> Vec<f64> {
    tensor.into().to_f64s().expect("no operation failed")
}

/// Asserts that two rows of numbers agree, relative to the larger of 1 and the number expected.
#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(near, "{what}, number {at}: expected {expected}, found {found}");
    }
}

/// The `value` of a program in a step on a poisoned case, and the gradient of the logits.
fn run(text: &str, case: &Case, kind: Kind, options: Options) -> [Vec<f64>; 2] {
    let program = compile(text).expect("the file checks");
    let session = Session::with(program, Options { lets: true, ..options });
    let leaves = case.poisoned().leaves(kind, Device::Cpu);
    let output = session.forward(&leaves.batch).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
    output.backward().expect("no operation failed");
    [numbers(named(&output, "value")), numbers(leaves.logits.grad())]
}

/// Asserts that fused kernels give the `value` and the gradient of plain operations, in every kind of logits.
#[track_caller]
fn assert_fused_is_plain(text: &str, cases: &[Case], what: &str) {
    for (kind, tolerance) in [
        (Kind::Double, 1e-9),
        (Kind::Float, 2e-5),
        (Kind::BFloat16, 2f64.powi(-7)),
        (Kind::Half, 2f64.powi(-10)),
    ] {
        for case in cases {
            let [fused, plain] = [Kernels::Auto, Kernels::Reference]
                .map(|kernels| run(text, case, kind, Options { kernels, ..Options::default() }));
            // The statistics themselves are computed in f32 or wider from the same logits.
            assert_near(&fused[0], &plain[0], tolerance.min(2e-5), &format!("{what} in {kind:?}"));
            assert_near(&fused[1], &plain[1], tolerance, &format!("the gradient of {what} in {kind:?}"));
        }
    }
}
