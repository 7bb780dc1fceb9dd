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
use aent::{Batch, Options, Output, Session, compile};
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
