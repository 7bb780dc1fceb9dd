//! Steps whose numbers are not finite: what `aent eval` says, and where it says they come from.

use super::fixture::{Folder, Ran, batch};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

/// A file, with a batch in which all rewards are equal.
fn folder(text: &str) -> Folder {
    let folder = Folder::with("spec.aent", text);
    let group = Tensor::zeros([3], (Kind::Int64, Device::Cpu));
    batch(
        &folder,
        &[("rewards", Tensor::ones([3], FLOAT)), ("group", group), ("values", Tensor::zeros([3, 4], FLOAT))],
    );
    folder
}

fn eval(folder: &Folder, more: &[&str]) -> Ran {
    folder.run(&[&["eval", "spec.aent", "--batch", "batch.safetensors"], more].concat())
}

const NORMALISED: &str = "\
let centred = rewards - group_mean(rewards)
let scaled = centred / group_std(rewards)
controller beta = linear(from = 1, to = 0, steps = 10)
loss = token_mean(clip_ppo(advantages = scaled)) * beta
metric reward = batch_mean(rewards)
";

#[test]
fn a_loss_that_is_not_a_number_names_the_formula_and_the_position() {
    let folder = folder(NORMALISED);
    for more in [&[][..], &["--microbatches", "3"]] {
        let ran = eval(&folder, more);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let json = ran.json();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["loss", "metrics", "controllers"]);
        assert_eq!((&json["loss"], json["metrics"]["reward"].as_f64()), (&Value::Null, Some(1.0)));
        for part in [
            "`loss` is NaN",
            "division of 0 by 0 at [0]",
            "`centred / group_std(rewards)`",
            "`let scaled`",
            "spec.aent:2:14",
        ] {
            assert!(ran.stderr.contains(part), "expected `{part}` in: {}", ran.stderr);
        }
    }
}

#[test]
fn a_step_without_a_finite_loss_saves_no_controllers() {
    let folder = folder(NORMALISED);
    let ran = eval(&folder, &["--save-state", "state.json", "--out", "out.safetensors"]);
    assert_eq!(ran.code, 1);
    assert!(!folder.path("state.json").exists());
    assert!(folder.tensor("out.safetensors", "let.scaled").double_value(&[0]).is_nan());
}

#[test]
fn a_metric_or_signal_alone_is_a_warning() {
    let text = "\
controller beta = band(signal = batch_mean(log(rewards - rewards)), target = 0.1 .. 0.2)
loss = -token_mean(log_prob * advantages) * (1 + beta)
metric odd = batch_mean(1 / group_std(rewards))
";
    let ran = eval(&folder(text), &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let json = ran.json();
    assert!(json["loss"].is_number() && json["metrics"]["odd"].is_null());
    for part in [
        "warning: `metric odd` is inf: division of 1 by 0 at [0] in `1 / group_std(rewards)`, spec.aent:3:25",
        "warning: `signal of beta` is -inf: logarithm of 0 at [0] in `log(rewards - rewards)`, spec.aent:1:44",
    ] {
        assert!(ran.stderr.contains(part), "expected `{part}` in: {}", ran.stderr);
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_an_error_where_it_is_asked_for() {
    // sqrt(0) is 0, and its slope there has no bound.
    let folder = folder("loss = token_mean(sqrt(values^2)) + token_mean(log_prob)\n");
    assert_eq!(eval(&folder, &[]).code, 0);
    let ran = eval(&folder, &["--out", "out.safetensors"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.json()["loss"].is_number());
    for part in ["the gradient of `values` is NaN at [0, 0]", "the loss is finite"] {
        assert!(ran.stderr.contains(part), "expected `{part}` in: {}", ran.stderr);
    }
}

#[test]
fn log_probabilities_above_zero_are_refused_with_the_likely_reason() {
    let folder = folder("loss = token_mean(clip_ppo())\n");
    batch(&folder, &[("old_log_prob", Tensor::full([3, 4], 0.5, FLOAT))]);
    eval(&folder, &[])
        .refused("`old_log_prob` at [0, 0]: expected a log-probability, which is at most 0, found 0.5");
    eval(&folder, &["--microbatches", "3"]).refused("bring their `log`");
}
