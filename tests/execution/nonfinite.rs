//! Where a number that is not finite comes from: the formula, its operands, the position.

use crate::{plain, session};
use aent::{Batch, NonFinite, Options, Session, compile};
use tch::{Device, Kind, Tensor};

fn token(numbers: [f32; 6]) -> Tensor {
    Tensor::from_slice(&numbers).view([2, 3])
}

/// The findings for a file on the batch of these tests; its mask has four tokens, three of them in the first sequence.
#[track_caller]
fn find(text: &str, batch: &Batch) -> Vec<NonFinite> {
    session(text).find_nonfinite(batch).unwrap()
}

#[track_caller]
fn only(text: &str, batch: &Batch) -> NonFinite {
    let mut found = find(text, batch);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_finite_step_has_nothing_to_explain() {
    assert_eq!(find("loss = token_mean(clip_ppo())\nmetric m = token_mean(entropy)", &plain()), []);
}

#[test]
fn the_origin_is_found_behind_everything_it_was_carried_through() {
    // The second token of the first sequence is the first 0.
    let batch = plain().with("x", token([1.0, 0.0, 2.0, 0.0, 0.0, 0.0]));
    let text = "input x: token\nlet a = log(x)\nlet b = a * 0.5 + 1\nlet c = clip_ppo(advantages = b)\nloss = seq_mean_token_mean(c)^2";
    let found = only(text, &batch);
    assert_eq!(found.result, "loss");
    assert_eq!(found.cause, "logarithm of 0");
    assert_eq!(found.formula, "log(x)");
    assert_eq!(found.name.as_deref(), Some("let a"));
    assert_eq!(found.place.as_deref(), Some("spec.aent:2:9"));
    assert_eq!(found.at, [0, 1]);
}

#[test]
fn operands_are_told_with_what_was_done_to_them() {
    let batch = plain().with("x", token([1.0, -4.0, 2.0, 0.0, 0.0, 0.0])).with("big", Tensor::from(1e30f32));
    let head = "input x: token\ninput big: scalar\n";
    for (formula, cause, at) in [
        ("sqrt(x)", "square root of -4", vec![0, 1]),
        ("log(x)", "logarithm of -4", vec![0, 1]),
        ("1 / (x + 4)", "division of 1 by 0", vec![0, 1]),
        ("(x - x) / (x - x)", "division of 0 by 0", vec![0, 0]),
        ("x^0.5", "-4 to the power of 0.5", vec![0, 1]),
        ("exp(x * 100)", "`exp` of 100, too large for f32,", vec![0, 0]),
        ("x * (big * big)", "* ", vec![]),
    ] {
        let text =
            format!("{head}loss = token_mean(log_prob) + 0 * big\nmetric m = token_mean({formula} + 0 * x)");
        let found = only(&text, &batch);
        assert_eq!(found.result, "metric m");
        assert!(found.cause.contains(cause), "{formula}: {}", found.cause);
        assert_eq!(found.at, at, "{formula}");
    }
}

#[test]
fn a_value_that_was_not_chosen_is_not_blamed() {
    let batch = plain().with("x", token([0.0, 2.0, -1.0, 1.0, 0.0, 0.0]));
    // `log(x)` is infinite at [0, 0] and undefined at [0, 2], where it is not taken; `1 / y` is infinite at [0, 1].
    let text = "input x: token\nlet a = where(x > 0, log(x), 0)\nlet y = x - 2\nloss = token_mean(a * log_prob)\nmetric m = token_mean(a + 1 / y)";
    let found = only(text, &batch);
    assert_eq!((found.formula.as_str(), found.at.as_slice()), ("1 / y", &[0, 1][..]));
}

#[test]
fn masked_positions_are_not_looked_at() {
    let batch = plain().with("x", token([1.0, 1.0, 1.0, 1.0, 0.0, f32::NAN]));
    assert_eq!(find("input x: token\nloss = token_mean(log(x) * log_prob)", &batch), []);
}

#[test]
fn a_value_of_the_whole_step_is_followed_to_the_sequence_it_comes_from() {
    let batch = plain().with("x", Tensor::from_slice(&[1.0f32, 0.0]));
    let found = only(
        "input x: seq\nloss = token_mean(log_prob) / batch_mean(log(x))\nmetric m = batch_mean(log(x))",
        &batch,
    );
    // The loss divides by -inf, which is finite again.
    assert_eq!((found.result.as_str(), found.at.as_slice()), ("metric m", &[1][..]));
}

#[test]
fn every_result_that_is_not_finite_is_told_the_loss_first() {
    let batch = plain().with("x", Tensor::from_slice(&[0.0f32, 0.0]));
    let text = "input x: seq\nlet a = batch_mean(1 / x)\ncontroller c = band(signal = -a, target = 0.1)\nloss = token_mean(log_prob) * a * (1 + c)\nmetric m = a";
    let found = find(text, &batch);
    assert_eq!(
        found.iter().map(|of| of.result.as_str()).collect::<Vec<_>>(),
        ["loss", "metric m", "signal of c"]
    );
    assert!(found.iter().all(|of| of.formula == "1 / x" && of.at == [0]), "{found:?}");
    assert_eq!((found[1].value, found[2].value), (f64::INFINITY, f64::NEG_INFINITY));
}

#[test]
fn an_unchecked_field_is_named_itself() {
    let options = Options { validate: false, ..Options::default() };
    let session = Session::with(compile("loss = token_mean(clip_ppo())").unwrap(), options);
    let batch = plain().with("advantages", token([0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0]));
    let found = session.find_nonfinite(&batch).unwrap();
    assert_eq!((found[0].cause.as_str(), found[0].at.as_slice()), ("the batch gives NaN", &[0, 2][..]));
}

#[test]
fn a_sentence_has_everything_on_one_line() {
    let batch = plain().with("x", token([1.0, 0.0, 2.0, 0.0, 0.0, 0.0]));
    let text = "input x: token\nloss = token_mean(\n    1 # one\n    / x * log_prob\n)";
    assert_eq!(
        only(text, &batch).to_string(),
        "`loss` is -inf: division of 1 by 0 at [0, 1] in `1 / x`, spec.aent:3:5"
    );
}

#[test]
fn a_program_that_was_saved_and_brought_back_is_explained_without_its_text() {
    let program = compile("input x: seq\nloss = token_mean(log_prob) * batch_mean(1 / x)").unwrap();
    let program = serde_json::from_str(&serde_json::to_string(&program).unwrap()).unwrap();
    let batch = plain().with("x", Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    let found = Session::new(program).find_nonfinite(&batch).unwrap();
    assert_eq!((found[0].place.as_deref(), found[0].at.as_slice()), (None, &[0][..]));
}
