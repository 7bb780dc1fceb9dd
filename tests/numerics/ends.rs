//! The greatest, the least, the spread and the rank.

use crate::judge::{Sheet, judge, mean, sum};
use crate::reference::valid;
use crate::{assert_near, session, values};
use aent::plan::FirstPass;
use aent::testing::{Case, Extent, Outcome, sample, smooth};
use tch::Kind;

fn greatest(of: impl IntoIterator<Item = f64>) -> f64 {
    of.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

fn least(of: impl IntoIterator<Item = f64>) -> f64 {
    of.into_iter().fold(f64::INFINITY, f64::min)
}

/// What an expression is made of at a token: with gradient, and of either sign.
fn weighed(sheet: &Sheet<'_>, at: usize) -> f64 {
    sheet.x[at] * sheet.advantage(at)
}

#[test]
fn sequences_have_a_greatest_and_a_least_value() {
    judge("seq_max(log_prob * advantages)", |sheet| {
        sheet.sequences(|row| greatest(row.iter().map(|at| weighed(sheet, *at))))
    });
    judge("seq_min(log_prob * advantages)", |sheet| {
        sheet.sequences(|row| least(row.iter().map(|at| weighed(sheet, *at))))
    });
    // All below 0 or above it, where a masked 0 would win.
    judge("seq_max(log_prob) * rewards", |sheet| {
        sheet.sequences(|row| {
            sheet.case.rewards[row[0] / sheet.case.width] * greatest(row.iter().map(|at| sheet.x[*at]))
        })
    });
    judge("seq_min(-log_prob) * rewards", |sheet| {
        sheet.sequences(|row| {
            sheet.case.rewards[row[0] / sheet.case.width] * least(row.iter().map(|at| -sheet.x[*at]))
        })
    });
    judge("seq_max(advantages > 0) - seq_min(advantages > 0)", |sheet| {
        let counts = |row: &[usize]| row.iter().filter(|at| sheet.advantage(**at) > 0.0).count();
        sheet.sequences(|row| f64::from(counts(row) > 0) - f64::from(counts(row) == row.len()))
    });
}

#[test]
fn sequences_have_an_unbiased_deviation() {
    judge("seq_std(log_prob * advantages) * rewards", |sheet| {
        sheet.sequences(|row| {
            let middle = mean(row, |at| weighed(sheet, at));
            let squares = sum(row, |at| (weighed(sheet, at) - middle).powi(2));
            let deviation = (squares / (row.len().max(2) - 1) as f64).sqrt();
            deviation * sheet.case.rewards[row[0] / sheet.case.width]
        })
    });
}

#[test]
fn a_step_has_a_greatest_and_a_least_value() {
    let none_is_zero = |found: f64| vec![if found.is_finite() { found } else { 0.0 }];
    judge("token_max(log_prob * advantages)", |sheet| {
        none_is_zero(greatest(sheet.all().into_iter().map(|at| weighed(sheet, at))))
    });
    judge("token_min(log_prob * advantages)", |sheet| {
        none_is_zero(least(sheet.all().into_iter().map(|at| weighed(sheet, at))))
    });
    judge("token_max(log_prob)", |sheet| {
        none_is_zero(greatest(sheet.all().into_iter().map(|at| sheet.x[at])))
    });
    judge("token_min(-log_prob)", |sheet| {
        none_is_zero(least(sheet.all().into_iter().map(|at| -sheet.x[at])))
    });
}

#[test]
fn an_end_of_the_step_is_that_of_all_its_parts() {
    for (text, first_pass) in [
        ("loss = token_mean(log_prob) + token_max(log_prob)", FirstPass::Model),
        ("loss = token_mean(log_prob * advantages) / token_max(abs(advantages))", FirstPass::Fields),
        ("loss = token_mean(log_prob)\nmetric least = token_min(entropy)", FirstPass::Counts),
    ] {
        assert_eq!(session(text).plan().first_pass, first_pass, "{text}");
    }
}

/// A case whose tokens all have the log-probabilities that their rows say.
fn alike(sequences: usize, rows: &[[f64; 3]]) -> Case {
    let mut case = sample(&smooth(Extent::exactly(sequences, rows.len() / sequences, 3)), 1).remove(0);
    case.mask.fill(true);
    case.actions.fill(0);
    case.logits = rows.concat();
    case.group.fill(0);
    case
}

const HIGH: [f64; 3] = [2.0, 0.0, 1.0];
const LOW: [f64; 3] = [0.0, 2.0, 1.0];

#[test]
fn ties_share_the_gradient() {
    let case = alike(2, &[HIGH, LOW, HIGH, HIGH, LOW, LOW]);
    for (expr, shares) in [
        ("batch_sum(seq_max(log_prob))", [1.0 / 2.0, 0.0, 1.0 / 2.0, 1.0, 0.0, 0.0]),
        ("batch_sum(seq_min(log_prob))", [0.0, 1.0, 0.0, 0.0, 1.0 / 2.0, 1.0 / 2.0]),
        ("token_max(log_prob)", [1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]),
        ("token_min(log_prob)", [0.0, 1.0 / 3.0, 0.0, 0.0, 1.0 / 3.0, 1.0 / 3.0]),
        ("batch_sum(group_min(seq_max(log_prob)))", [1.0 / 2.0, 0.0, 1.0 / 2.0, 1.0, 0.0, 0.0]),
    ] {
        let found = Outcome::of(&session(&format!("loss = {expr}")), &case, Kind::Double).unwrap();
        // The slope of a log-probability at the logit of its action is 1 - p.
        let slope = |row: &[f64]| 1.0 - row[0].exp() / row.iter().map(|z| z.exp()).sum::<f64>();
        let expected: Vec<f64> =
            case.logits.chunks(3).zip(shares).map(|(row, share)| share * slope(row)).collect();
        let found: Vec<f64> = found.logits_gradient.chunks(3).map(|row| row[0]).collect();
        assert_near(&found, &expected, 1e-14, expr);
    }
}

#[test]
fn a_sequence_of_equal_values_has_no_deviation_and_no_gradient() {
    let session = session("loss = batch_mean(seq_std(log_prob * 0.1))");
    // Of many lengths, for most of which the mean of equal numbers is rounded.
    for (width, kind) in (1..40).flat_map(|width| [(width, Kind::Double), (width, Kind::Float)]) {
        let case = alike(1, &vec![[0.1, 0.7, -0.3]; width]);
        let found = Outcome::of(&session, &case, kind).unwrap();
        assert!(found.loss == 0.0, "{width}: {found:?}");
        assert_eq!(found.logits_gradient, vec![0.0; 3 * width]);
    }
}

/// Of each valid sequence, a number from those of its prompt's valid samples, itself among them.
fn of_prompt(sheet: &Sheet<'_>, of: impl Fn(usize, &[usize]) -> f64) -> Vec<f64> {
    sheet.sequences(|row| {
        let own = row[0] / sheet.case.width;
        let prompt = |other: &usize| sheet.case.group[*other] == sheet.case.group[own];
        of(own, &valid(sheet.case).into_iter().filter(prompt).collect::<Vec<_>>())
    })
}

#[test]
fn groups_have_least_values() {
    judge("group_min(rewards)", |sheet| {
        of_prompt(sheet, |_, prompt| least(prompt.iter().map(|other| sheet.case.rewards[*other])))
    });
    judge("group_min(seq_sum(log_prob)) * rewards", |sheet| {
        let total = |row: &usize| sum(&sheet.row(*row), |at| sheet.x[at]);
        of_prompt(sheet, |own, prompt| sheet.case.rewards[own] * least(prompt.iter().map(total)))
    });
}

/// The place in the sorted rewards of the prompt, from 0 to 1, the mean of its places where it ties.
fn rank(own: f64, all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let places: Vec<f64> =
        (0..sorted.len()).filter(|at| sorted[*at].total_cmp(&own).is_eq()).map(|at| at as f64).collect();
    let place = places.iter().sum::<f64>() / places.len() as f64;
    if all.len() == 1 { 0.5 } else { place / (all.len() - 1) as f64 }
}

#[test]
fn a_sample_has_a_rank_in_its_prompt() {
    for (expr, of) in [
        ("group_rank(rewards)", (|reward| reward) as fn(f64) -> f64),
        // Two levels, so that ties are the rule.
        ("group_rank(where(rewards > 0, 1, 0))", |reward| f64::from(reward > 0.0)),
    ] {
        judge(expr, |sheet| {
            of_prompt(sheet, |own, prompt| {
                let all: Vec<f64> = prompt.iter().map(|other| of(sheet.case.rewards[*other])).collect();
                rank(of(sheet.case.rewards[own]), &all)
            })
        });
    }
    judge("group_mean(group_rank(rewards))", |sheet| of_prompt(sheet, |_, _| 0.5));
}

#[test]
fn ranks_follow_the_worked_example() {
    let mut case = alike(6, &[HIGH; 6]);
    case.rewards = vec![0.3, 1.0, 0.3, -2.0, 7.0, 1.0];
    case.group = vec![4, 4, 4, 4, 9, 4];
    let rank = values("group_rank(rewards)")(&case);
    assert_near(&rank, &[0.375, 0.875, 0.375, 0.0, 0.5, 0.875], 1e-15, "ranks");
    // As SciPy's `rankdata` counts them.
    let counted = values("1 + group_rank(rewards) * (group_sum(1) - 1)")(&case);
    assert_near(&counted, &[2.5, 4.5, 2.5, 1.0, 1.0, 4.5], 1e-14, "ranks from 1");
}

#[test]
fn what_is_not_a_number_has_no_rank() {
    let mut case = alike(3, &[HIGH; 3]);
    case.rewards = vec![1.0, -1.0, 2.0];
    let found = values("group_rank(sqrt(rewards))")(&case);
    assert!(found[1].is_nan() && found[0].is_finite() && found[2].is_finite(), "{found:?}");
}
