//! Fields that hold log-probabilities: what is above 0 is none.

use crate::{assert_says, plain, session};
use aent::{Error, Options, Session, compile};
use tch::{Kind, Tensor};

const FIELDS: [&str; 4] = ["log_prob", "old_log_prob", "ref_log_prob", "rollout_log_prob"];
const LOSS: &str = "loss = token_mean(log_prob + old_log_prob + ref_log_prob + rollout_log_prob)";

fn token(numbers: [f64; 6]) -> Tensor {
    Tensor::from_slice(&numbers).to_kind(Kind::Float).view([2, 3])
}

/// The batch of these tests with one field replaced; its mask leaves out the last two values.
fn step(name: &str, tensor: Tensor, validate: bool) -> aent::Result<aent::Output> {
    let right = token([-1.0, -0.5, 0.0, -2.0, -1.0, -1.0]);
    let batch = FIELDS.iter().fold(plain(), |batch, name| batch.with(*name, right.shallow_clone()));
    let options = Options { validate, ..Options::default() };
    Session::with(compile(LOSS).unwrap(), options).forward(&batch.with(name, tensor))
}

#[track_caller]
fn refused(name: &str, tensor: Tensor) -> Error {
    step(name, tensor, true).expect_err("the field is wrong")
}

#[test]
fn every_field_of_log_probabilities_is_judged() {
    for name in FIELDS {
        let error = refused(name, token([-1.0, -0.5, 0.25, -2.0, 0.0, 0.0]));
        assert!(
            matches!(&error, Error::Value { name: of, place, .. } if of == name && place == "[0, 2]"),
            "{error}"
        );
        assert_says(&error, &["a log-probability", "at most 0", "found 0.25"]);
    }
}

#[test]
fn probabilities_and_negated_ones_are_told_apart() {
    let probabilities = token([0.9, 0.5, 1.0, 0.25, -7.0, 7.0]);
    assert_says(&refused("old_log_prob", probabilities), &["[0, 0]", "0 .. 1", "bring their `log`"]);
    let negated = token([0.1, 0.5, 3.0, 0.25, -7.0, 7.0]);
    assert_says(&refused("old_log_prob", negated), &["[0, 0]", "no value is negative", "bring them negated"]);
    let mixed = token([-0.1, 0.5, -3.0, 0.25, 0.0, 0.0]);
    assert_says(&refused("old_log_prob", mixed), &["[0, 1]", "`log`", "sign"]);
}

#[test]
fn what_is_masked_or_not_to_be_checked_is_taken() {
    step("old_log_prob", token([-1.0, -0.5, 0.0, -2.0, 5.0, f64::NAN]), true).unwrap();
    step("old_log_prob", token([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]), false).unwrap();
}

#[test]
fn rounding_is_not_refused() {
    let sixteenth = token([-1.0, 0.125, 0.0, -2.0, 0.0, 0.0]);
    for kind in [Kind::Half, Kind::BFloat16] {
        step("rollout_log_prob", sixteenth.to_kind(kind), true).unwrap();
        let error = refused("rollout_log_prob", token([-1.0, 0.5, 0.0, 0.0, 0.0, 0.0]).to_kind(kind));
        assert_says(&error, &["[0, 1]", "found 0.5"]);
    }
    refused("rollout_log_prob", sixteenth);
    for kind in [Kind::Float, Kind::Double] {
        step("rollout_log_prob", token([-1.0, 5e-4, 0.0, -2.0, 0.0, 0.0]).to_kind(kind), true).unwrap();
        refused("rollout_log_prob", token([-1.0, 5e-3, 0.0, -2.0, 0.0, 0.0]).to_kind(kind));
    }
}

#[test]
fn a_number_that_is_not_finite_is_told_as_that() {
    let error = refused("old_log_prob", token([-1.0, f64::INFINITY, 0.0, -2.0, 0.0, 0.0]));
    assert_says(&error, &["[0, 1]", "a finite number", "found inf"]);
    let error = refused("old_log_prob", token([0.5, f64::NAN, 0.0, -2.0, 0.0, 0.0]));
    assert_says(&error, &["[0, 1]", "a finite number", "found NaN"]);
}

#[test]
fn a_step_in_parts_judges_each_part() {
    let batch = plain().with("old_log_prob", token([-1.0, -1.0, -1.0, 0.5, 0.0, 0.0]));
    let session = session("loss = token_mean(clip_ppo())");
    let parts = batch.split(2).unwrap();
    let mut step = session.accumulate();
    for part in &parts {
        step.measure(part).unwrap();
    }
    step.forward(&parts[0]).unwrap();
    assert_says(&step.forward(&parts[1]).unwrap_err(), &["`old_log_prob`", "[0, 0]", "found 0.5"]);
}
