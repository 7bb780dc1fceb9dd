//! Worked examples of advantages, to the six digits they were written with.

use crate::judge::LIBRARY;
use crate::{assert_near, named, numbers, step};
use aent::Batch;
use tch::{Device, Kind, Tensor};

const DIGITS: f64 = 1e-6;

/// A token value of one number per token, as the batch of an example.
fn batch(rewards: &[f64], groups: &[i64], lengths: &[usize]) -> Batch {
    let (rows, width) = (rewards.len(), lengths.iter().copied().max().unwrap_or(1));
    let mask: Vec<bool> = lengths.iter().flat_map(|length| (0..width).map(move |at| at < *length)).collect();
    let size = [rows as i64, width as i64];
    Batch::new()
        .with("log_prob", Tensor::zeros(size, (Kind::Double, Device::Cpu)).set_requires_grad(true))
        .with("response_mask", Tensor::from_slice(&mask).view(size))
        .with("rewards", Tensor::from_slice(rewards))
        .with("group", Tensor::from_slice(groups))
}

#[track_caller]
fn assert_advantages(batch: &Batch, expr: &str, expected: &[f64]) {
    let output = step(&format!("{LIBRARY}\nlet found = {expr}\nloss = token_mean(log_prob)"), batch);
    assert_near(&numbers(named(&output, "found")), expected, DIGITS, expr);
}

#[test]
fn two_prompts_of_three_and_two_samples() {
    let batch = batch(&[1.0, 0.0, 0.5, 2.0, 3.0], &[7, 7, 7, 2, 2], &[3, 3, 2, 3, 3]);
    let half = 0.5_f64.sqrt() - 1e-6;
    let examples: [(&str, [f64; 5]); 7] = [
        ("grpo_advantages()", [0.999_998, -0.999_998, 0.0, -half, half]),
        ("rloo_advantages()", [0.75, -0.75, 0.0, -1.0, 1.0]),
        ("opo_advantages()", [0.5, -0.5, 0.0, -0.5, 0.5]),
        ("gpg_advantages()", [0.625, -0.625, 0.0, -0.625, 0.625]),
        ("best_only_advantages()", [0.999_998, 0.0, 0.0, 0.0, 1.414_212]),
        ("dr_grpo_advantages()", [0.5, -0.5, 0.0, -0.5, 0.5]),
        ("remax_advantages(1)", [0.0, -1.0, -0.5, 1.0, 2.0]),
    ];
    for (expr, expected) in examples {
        assert_advantages(&batch, expr, &expected);
    }
}

#[test]
fn one_prompt_that_is_mostly_solved() {
    let batch = batch(&[1.0, 0.0, 0.0, 1.0, 1.0], &[0; 5], &[1; 5]);
    let expected = [0.666_667, -1.0, -1.0, 0.666_667, 0.666_667];
    assert_advantages(&batch, "maxrl_advantages()", &expected);
    // Two of five are drawn: one of ten choices has no right one. With a wrong one, one of four has none.
    let (up, down) = (0.1 / 0.3, -0.15 / 0.3);
    assert_advantages(&batch, "pass_at_k_advantages(2, eps = 0)", &[up, down, down, up, up]);
    let biased = (0.6_f64 * 0.4).sqrt();
    let (up, down) = (0.4 / biased, -0.6 / biased);
    assert_advantages(&batch, "pass_at_k_advantages(1, eps = 0)", &[up, down, down, up, up]);
}
