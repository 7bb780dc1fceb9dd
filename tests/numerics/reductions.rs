//! Reductions on generated batches.

use crate::reference::{group_mean_and_std, logp, per_token, sum_and_count, valid};
use crate::{assert_near, scalar_of, value_of};
use aent::testing::{Case, Extent, rough, sample};

fn cases() -> Vec<Case> {
    sample(&rough(Extent { sequences: 1..=8, ..Extent::default() }), 120)
}

#[test]
fn token_values_reduce_as_their_formulas_say() {
    for case in cases() {
        let x = per_token(&case, |at| logp(&case, at));
        let rows: Vec<(f64, f64)> = valid(&case).iter().map(|row| sum_and_count(&case, &x, *row)).collect();
        let sum: f64 = rows.iter().map(|(sum, _)| sum).sum();
        // Without a token that counts every reduction is 0.
        let tokens = rows.iter().map(|(_, count)| count).sum::<f64>().max(1.0);
        let sequences = (rows.len() as f64).max(1.0);
        let specs = [
            ("token_mean(log_prob)", sum / tokens),
            ("token_sum(log_prob)", sum),
            ("seq_mean_token_sum(log_prob)", sum / sequences),
            (
                "seq_mean_token_mean(log_prob)",
                rows.iter().map(|(sum, count)| sum / count).sum::<f64>() / sequences,
            ),
            ("seq_mean_token_sum_norm(log_prob)", sum / sequences / case.width as f64),
            ("seq_mean_token_sum_norm(log_prob, length = 7)", sum / sequences / 7.0),
            ("batch_mean(seq_sum(log_prob))", sum / sequences),
            ("batch_sum(seq_sum(log_prob))", sum),
        ];
        for (expr, expected) in specs {
            assert_near(&[scalar_of(expr, &case)], &[expected], 1e-12, expr);
        }
    }
}

#[test]
fn sequences_reduce_to_one_number_each_and_empty_ones_to_zero() {
    for case in cases() {
        let x = per_token(&case, |at| logp(&case, at));
        let rows: Vec<(f64, f64)> = (0..case.sequences).map(|row| sum_and_count(&case, &x, row)).collect();
        let sums: Vec<f64> = rows.iter().map(|(sum, _)| *sum).collect();
        let means: Vec<f64> = rows.iter().map(|(sum, count)| sum / count.max(1.0)).collect();
        assert_near(&value_of("seq_sum(log_prob)", &case), &sums, 1e-12, "seq_sum");
        assert_near(&value_of("seq_mean(log_prob)", &case), &means, 1e-12, "seq_mean");
    }
}

#[test]
fn sequence_values_reduce_over_valid_sequences() {
    for case in cases() {
        let rewards: Vec<f64> = valid(&case).iter().map(|sequence| case.rewards[*sequence]).collect();
        let sum: f64 = rewards.iter().sum();
        let count = (rewards.len() as f64).max(1.0);
        assert_near(&[scalar_of("batch_sum(rewards)", &case)], &[sum], 1e-12, "batch_sum");
        assert_near(&[scalar_of("batch_mean(rewards)", &case)], &[sum / count], 1e-12, "batch_mean");
    }
}

#[test]
fn groups_reduce_over_their_valid_samples() {
    for case in cases() {
        let (means, deviations) = group_mean_and_std(&case, &case.rewards);
        let at_valid = |values: Vec<f64>| {
            (0..case.sequences).map(|of| if case.is_valid(of) { values[of] } else { 0.0 }).collect::<Vec<_>>()
        };
        let found = at_valid(value_of("group_mean(rewards)", &case));
        assert_near(&found, &means, 1e-12, "group_mean");
        let found = at_valid(value_of("group_std(rewards)", &case));
        assert_near(&found, &deviations, 1e-12, "group_std");
    }
}

#[test]
fn a_group_of_one_has_its_own_mean_and_no_deviation() {
    let mut case = sample(&rough(Extent::exactly(3, 1, 3)), 1).remove(0);
    case.mask.fill(true);
    case.rewards = vec![1.0, 5.0, 2.0];
    case.group = vec![7, -3, 7];
    assert_near(&value_of("group_mean(rewards)", &case), &[1.5, 5.0, 1.5], 1e-15, "group_mean");
    let half = 0.5f64.sqrt();
    assert_near(&value_of("group_std(rewards)", &case), &[half, 0.0, half], 1e-15, "group_std");
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
    assert_eq!(outcome.loss, 0.0);
    assert_eq!(outcome.logits_gradient, vec![0.0; 6]);
}
