//! Worked examples, computed once by hand and with verl's functions, to the eight digits they were written with.

use crate::judge::LIBRARY;
use crate::{assert_near, named, numbers, step};
use aent::{Batch, Output};
use tch::{Kind, Tensor};

const DIGITS: f64 = 1e-8;

/// Three sequences of four tokens, the third fully masked; `log_prob` is a leaf of the batch.
pub(crate) fn policies() -> (Batch, Tensor) {
    let token = |rows: [[f64; 4]; 3]| Tensor::from_slice(&rows.concat()).view([3, 4]);
    let logp = token([[-0.5, -1.2, -0.3, -2.0], [-0.9, -0.1, -1.5, -0.7], [-1.0; 4]]).set_requires_grad(true);
    let batch = Batch::new()
        .with("log_prob", logp.shallow_clone())
        .with("old_log_prob", token([[-0.9, -1.0, -0.35, -1.1], [-0.4, -0.2, -2.9, -0.7], [-1.0; 4]]))
        .with("ref_log_prob", token([[-0.7, -1.1, -0.5, -1.4], [-0.6, -0.3, -2.0, -0.9], [-1.0; 4]]))
        .with("rollout_log_prob", token([[-1.0, -0.9, -0.35, -1.9], [-0.4, -0.6, -1.3, -0.7], [-1.0; 4]]))
        .with("advantages", token([[1.0; 4], [-0.5; 4], [2.0; 4]]))
        .with("rewards", Tensor::from_slice(&[1.0, 0.0, 1.0]))
        .with("response_mask", token([[1.0; 4], [1.0, 1.0, 1.0, 0.0], [0.0; 4]]));
    (batch, logp)
}

#[track_caller]
pub(crate) fn assert_loss(expr: &str, loss: f64, gradient: [[f64; 4]; 2]) {
    assert_loss_to(DIGITS, expr, loss, gradient);
}

/// The same for a gradient that was written with fewer digits.
#[track_caller]
pub(crate) fn assert_loss_to(digits: f64, expr: &str, loss: f64, gradient: [[f64; 4]; 2]) {
    let (batch, logp) = policies();
    let output = step(&format!("{LIBRARY}\nloss = {expr}"), &batch);
    output.backward().expect("the loss reaches the log-probabilities");
    assert_near(&numbers(output.loss()), &[loss], DIGITS, expr);
    assert_near(&numbers(logp.grad()), &[gradient[0], gradient[1], [0.0; 4]].concat(), digits, expr);
}

#[test]
fn clipped_surrogates() {
    let first = [0.0, -0.116_961_54, -0.150_181_59, -0.058_081_38];
    let bounded = [0.0, 0.078_940_78, 0.0, 0.0];
    let range = "low = 0.2, high = 0.28";
    assert_loss(&format!("token_mean(clip_ppo({range}, dual = 3))"), -0.157_712_29, [first, bounded]);
    assert_loss(&format!("token_mean(clip_ppo({range}, delta = 3))"), -0.157_712_29, [first, bounded]);
    let free = [0.0, 0.078_940_78, 0.289_657_14, 0.0];
    assert_loss(&format!("token_mean(clip_ppo({range}))"), -0.082_340_87, [first, free]);
}

#[test]
fn divergences() {
    let n = 1.0 / 7.0;
    let expr = |estimator: &str| format!("token_mean(kl(estimator = \"{estimator}\"))");
    assert_loss(&expr("k1"), 0.014_285_71, [[n; 4], [n, n, n, 0.0]]);
    assert_loss(&expr("abs"), 0.3, [[n, -n, n, -n], [-n, n, n, 0.0]]);
    assert_loss(
        &expr("k2"),
        0.059_285_71,
        [
            [0.028_571_43, -0.014_285_71, 0.028_571_43, -0.085_714_29],
            [-0.042_857_14, 0.028_571_43, 0.071_428_57, 0.0],
        ],
    );
    assert_loss(
        &expr("k3"),
        0.062_838_78,
        [
            [0.025_895_61, -0.015_024_42, 0.025_895_61, -0.117_445_54],
            [-0.049_979_83, 0.025_895_61, 0.056_209_91, 0.0],
        ],
    );
}

#[test]
fn the_plain_policy_gradient() {
    let n = 1.0 / 7.0;
    assert_loss(
        "token_mean(-advantages * log_prob)",
        0.392_857_14,
        [[-n; 4], [n / 2.0, n / 2.0, n / 2.0, 0.0]],
    );
}

#[test]
fn aggregations_of_the_unclipped_surrogate() {
    let specs = [
        ("token_mean(surrogate)", -0.126_420_78),
        ("token_sum(surrogate)", -0.884_945_43),
        ("seq_mean_token_sum(surrogate)", -0.442_472_72),
        ("seq_mean_token_mean(surrogate)", 0.009_525_60),
        ("seq_mean_token_sum_norm(surrogate, length = 4)", -0.110_618_18),
        ("seq_mean_token_sum_norm(surrogate)", -0.110_618_18),
    ];
    for (expr, expected) in specs {
        let text = format!("let surrogate = -advantages * exp(log_prob - old_log_prob)\nloss = {expr}");
        let output = step(&text, &policies().0);
        assert_near(&numbers(output.loss()), &[expected], DIGITS, expr);
    }
}

fn entropies(expr: &str) -> (Output, Tensor) {
    let rows = [[2.0, 1.0, 0.0, -1.0, -3.0], [0.5; 5], [6.0, 0.0, -2.0, -2.0, -4.0]];
    let logits = Tensor::from_slice(&rows.concat()).view([1, 3, 5]).set_requires_grad(true);
    let batch = Batch::new()
        .with("logits", logits.shallow_clone())
        .with("actions", Tensor::zeros([1, 3], (Kind::Int64, tch::Device::Cpu)))
        .with("response_mask", Tensor::ones([1, 3], (Kind::Bool, tch::Device::Cpu)));
    let output = step(&format!("let value = {expr}\nloss = token_sum(value)"), &batch);
    (output, logits)
}

#[test]
fn entropies_of_three_rows() {
    let specs = [
        ("entropy()", [0.971_274_13, 1.609_437_91, 0.023_817_99]),
        ("clamped_entropy(drop = 40%)", [0.832_395_58, 1.098_612_29, 0.020_317_21]),
        ("clamped_entropy(drop = 20%)", [0.947_536_96, 1.386_294_36, 0.023_321_09]),
        ("clamped_entropy(top_k = 3)", [0.832_395_58, 1.098_612_29, 0.020_317_21]),
    ];
    for (expr, expected) in specs {
        assert_near(&numbers(named(&entropies(expr).0, "value")), &expected, DIGITS, expr);
    }
}

#[test]
fn gradients_of_entropies_of_three_rows() {
    let (output, logits) = entropies("entropy()");
    output.backward().unwrap();
    let expected = [
        [-0.337_719_90, 0.111_619_29, 0.127_830_31, 0.078_946_25, 0.019_324_05],
        [0.0; 5],
        [-0.020_562_31, 0.014_774_18, 0.002_668_26, 0.002_668_26, 0.000_451_62],
    ];
    assert_near(&numbers(logits.grad()), &expected.concat(), DIGITS, "entropy()");
    let (output, logits) = entropies("clamped_entropy(drop = 40%)");
    output.backward().unwrap();
    let gradient = numbers(logits.grad());
    let expected = [-0.282_587_45, 0.140_770_36, 0.141_817_09, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_near(&gradient[..10], &expected, DIGITS, "clamped_entropy(drop = 40%)");
    // Of the two equal logits at the border the lower id is in the set.
    assert!(gradient[12] > 0.0);
    assert!(gradient[13] == 0.0);
}

#[test]
fn group_advantages() {
    let rewards = [1.0, 0.0, 0.5, 2.0, 3.0];
    let batch = Batch::new()
        .with("log_prob", Tensor::zeros([5, 1], (Kind::Double, tch::Device::Cpu)).set_requires_grad(true))
        .with("response_mask", Tensor::ones([5, 1], (Kind::Bool, tch::Device::Cpu)))
        .with("rewards", Tensor::from_slice(&rewards))
        .with("group", Tensor::from_slice(&[4i64, 4, 4, -9, -9]));
    let text = "
        let centred  = rewards - group_mean(rewards)
        let standard = (rewards - group_mean(rewards)) / (group_std(rewards) + 1e-6)
        loss = token_mean(log_prob)";
    let output = step(text, &batch);
    let (three, two) = (0.5 / (0.5 + 1e-6), 0.5 / (0.5f64.sqrt() + 1e-6));
    let standard = [three, -three, 0.0, -two, two];
    assert_near(&numbers(named(&output, "standard")), &standard, 1e-12, "GRPO");
    assert_near(&numbers(named(&output, "centred")), &[0.5, -0.5, 0.0, -0.5, 0.5], 1e-15, "Dr. GRPO");
}
