//! Reductions on generated batches.

use crate::reference::{group_mean_and_std, logp, per_token, sum_and_count, valid};
use crate::{assert_near, values};
use aent::testing::{Case, Extent, rough, sample};

fn cases() -> Vec<Case> {
    sample(&rough(Extent { sequences: 1..=8, ..Extent::default() }), 120)
}

/// What a reduction over sequences gives when none counts is 0, as is what a sequence without tokens gives.
fn divided(sum: f64, count: usize) -> f64 {
    sum / count.max(1) as f64
}

#[track_caller]
fn assert_reduces(expr: &str, expected: impl Fn(&Case, &[f64]) -> Vec<f64>) {
    let found = values(expr);
    for case in cases() {
        let x = per_token(&case, |at| logp(&case, at));
        assert_near(&found(&case), &expected(&case, &x), 1e-12, expr);
    }
}

fn sums_and_counts(case: &Case, x: &[f64]) -> Vec<(f64, usize)> {
    (0..case.sequences).map(|row| sum_and_count(case, x, row)).collect()
}

fn total(case: &Case, x: &[f64]) -> f64 {
    sums_and_counts(case, x).iter().map(|(sum, _)| sum).sum()
}

#[test]
fn token_values_reduce_as_their_formulas_say() {
    let tokens = |case: &Case| case.mask.iter().filter(|counts| **counts).count();
    let sequences = |case: &Case| valid(case).len();
    assert_reduces("token_mean(log_prob)", |case, x| vec![divided(total(case, x), tokens(case))]);
    assert_reduces("token_sum(log_prob)", |case, x| vec![total(case, x)]);
    assert_reduces("seq_mean_token_sum(log_prob)", |case, x| vec![divided(total(case, x), sequences(case))]);
    assert_reduces("seq_mean_token_mean(log_prob)", |case, x| {
        let means = sums_and_counts(case, x).into_iter().map(|(sum, count)| divided(sum, count)).sum();
        vec![divided(means, sequences(case))]
    });
    assert_reduces("seq_mean_token_sum_norm(log_prob)", |case, x| {
        vec![divided(total(case, x), sequences(case)) / case.width as f64]
    });
    assert_reduces("seq_mean_token_sum_norm(log_prob, length = 7)", |case, x| {
        vec![divided(total(case, x), sequences(case)) / 7.0]
    });
    assert_reduces("batch_mean(seq_sum(log_prob))", |case, x| vec![divided(total(case, x), sequences(case))]);
    assert_reduces("batch_sum(seq_sum(log_prob))", |case, x| vec![total(case, x)]);
}

#[test]
fn sequences_reduce_to_one_number_each_and_empty_ones_to_zero() {
    assert_reduces("seq_sum(log_prob)", |case, x| {
        sums_and_counts(case, x).into_iter().map(|(sum, _)| sum).collect()
    });
    assert_reduces("seq_mean(log_prob)", |case, x| {
        sums_and_counts(case, x).into_iter().map(|(sum, count)| divided(sum, count)).collect()
    });
}

#[test]
fn sequence_values_reduce_over_valid_sequences() {
    let sum = |case: &Case| valid(case).iter().map(|sequence| case.rewards[*sequence]).sum::<f64>();
    assert_reduces("batch_sum(rewards)", |case, _| vec![sum(case)]);
    assert_reduces("batch_mean(rewards)", |case, _| vec![divided(sum(case), valid(case).len())]);
}

#[test]
fn groups_reduce_over_their_valid_samples() {
    assert_reduces("group_mean(rewards)", |case, _| group_mean_and_std(case, &case.rewards).0);
    assert_reduces("group_std(rewards)", |case, _| group_mean_and_std(case, &case.rewards).1);
}

#[test]
fn a_group_of_one_has_its_own_mean_and_no_deviation() {
    let mut case = sample(&rough(Extent::exactly(3, 1, 3)), 1).remove(0);
    case.mask.fill(true);
    case.rewards = vec![1.0, 5.0, 2.0];
    case.group = vec![7, -3, 7];
    assert_near(&values("group_mean(rewards)")(&case), &[1.5, 5.0, 1.5], 1e-15, "group_mean");
    let half = 0.5f64.sqrt();
    assert_near(&values("group_std(rewards)")(&case), &[half, 0.0, half], 1e-15, "group_std");
}

#[test]
fn a_deviation_of_zero_has_a_gradient_of_zero() {
    let mut case = sample(&rough(Extent::exactly(2, 1, 3)), 1).remove(0);
    case.mask.fill(true);
    case.actions = vec![1, 1];
    case.logits = [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]].concat();
    case.group = vec![0, 0];
    let session = crate::session("loss = batch_mean(group_std(seq_sum(log_prob)))");
    let outcome = aent::testing::Outcome::of(&session, &case, tch::Kind::Double).unwrap();
    assert!(outcome.loss == 0.0);
    assert_eq!(outcome.logits_gradient, vec![0.0; 6]);
}
