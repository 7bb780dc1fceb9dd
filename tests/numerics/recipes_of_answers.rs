//! Recipes that compare whole answers, against the formulas of the frameworks that they name.

use crate::judge::{Sheet, judge_recipe, mean, sum};
use crate::reference::{group_mean_and_std, valid};
use std::collections::BTreeMap;

/// What the cases have in place of the field `chosen`.
const CHOSEN: (&str, &str) =
    ("import \"std/preferences.aent\"", "import \"std/preferences.aent\"\nlet good = rewards > 0");

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// -log sigmoid(x)
fn logistic(x: f64) -> f64 {
    softplus(-x)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn log_sum_exp(x: &[f64]) -> f64 {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + x.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
}

/// The valid sequences of each prompt.
fn prompts(sheet: &Sheet<'_>) -> Vec<Vec<usize>> {
    let mut prompts = BTreeMap::<i64, Vec<usize>>::new();
    for sequence in valid(sheet.case) {
        prompts.entry(sheet.case.group[sequence]).or_default().push(sequence);
    }
    prompts.into_values().collect()
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The sum of the log-ratios of a sequence to a field.
fn log_ratio(sheet: &Sheet<'_>, sequence: usize, field: &str) -> f64 {
    sum(&sheet.row(sequence), |at| sheet.x[at] - sheet.get(field, at))
}

/// The mean of a loss over the pairs of a better and another answer, by the sign of the reward.
fn over_pairs(sheet: &Sheet<'_>, loss: impl Fn(usize, usize) -> f64) -> f64 {
    let good = |sequence: &usize| sheet.case.rewards[*sequence] > 0.0;
    let pairs = prompts(sheet).into_iter().filter_map(|prompt| match prompt.as_slice() {
        [a, b] if good(a) && !good(b) => Some((*a, *b)),
        [a, b] if good(b) && !good(a) => Some((*b, *a)),
        _ => None,
    });
    average(&pairs.map(|(better, other)| loss(better, other)).collect::<Vec<_>>())
}

#[test]
fn dpo_is_the_logistic_loss_of_the_gap() {
    let gap = |sheet: &Sheet<'_>, better: usize, other: usize| {
        log_ratio(sheet, better, "ref_log_prob") - log_ratio(sheet, other, "ref_log_prob")
    };
    judge_recipe(
        "dpo",
        &[CHOSEN, ("dpo(beta, smoothing)", "dpo(beta, smoothing, chosen = good)")],
        |sheet| over_pairs(sheet, |better, other| logistic(0.1 * gap(sheet, better, other))),
    );
    let smooth = ("dpo(beta, smoothing)", "dpo(0.5, 0.2, chosen = good)");
    judge_recipe("dpo", &[CHOSEN, smooth], |sheet| {
        over_pairs(sheet, |better, other| {
            let x = 0.5 * gap(sheet, better, other);
            0.8 * logistic(x) + 0.2 * logistic(-x)
        })
    });
}

#[test]
fn online_dpo_takes_the_better_of_two_samples() {
    judge_recipe("online_dpo", &[], |sheet| {
        let pairs = prompts(sheet).into_iter().filter_map(|prompt| match prompt.as_slice() {
            [a, b] if sheet.case.rewards[*a] > sheet.case.rewards[*b] => Some((*a, *b)),
            [a, b] if sheet.case.rewards[*b] > sheet.case.rewards[*a] => Some((*b, *a)),
            _ => None,
        });
        let loss = |(better, other)| {
            logistic(
                0.1 * (log_ratio(sheet, better, "ref_log_prob") - log_ratio(sheet, other, "ref_log_prob")),
            )
        };
        average(&pairs.map(loss).collect::<Vec<_>>())
    });
}

#[test]
fn ipo_fits_the_gap_per_token() {
    judge_recipe("ipo", &[CHOSEN, ("ipo(beta)", "ipo(beta, chosen = good)")], |sheet| {
        let score = |row: usize| log_ratio(sheet, row, "ref_log_prob") / sheet.row(row).len() as f64;
        over_pairs(sheet, |better, other| (score(better) - score(other) - 1.0 / 0.2).powi(2))
    });
}

#[test]
fn simpo_and_orpo_need_no_reference() {
    let score = |sheet: &Sheet<'_>, row: usize| mean(&sheet.row(row), |at| sheet.x[at]);
    judge_recipe("simpo", &[CHOSEN, ("simpo(beta, gamma)", "simpo(beta, gamma, good)")], |sheet| {
        over_pairs(sheet, |better, other| {
            // TRL's form, whose margin is gamma / beta.
            logistic(2.0 * (score(sheet, better) - score(sheet, other) - 1.0 / 2.0))
        })
    });
    judge_recipe("orpo", &[CHOSEN, ("orpo(beta)", "orpo(beta, good)")], |sheet| {
        let likely: Vec<usize> =
            sheet.all().into_iter().filter(|at| sheet.case.rewards[at / sheet.case.width] > 0.0).collect();
        let odds = over_pairs(sheet, |better, other| {
            let (better, other) = (score(sheet, better).min(-1e-12), score(sheet, other).min(-1e-12));
            logistic((better - other) - ((-better.exp_m1()).ln() - (-other.exp_m1()).ln()))
        });
        mean(&likely, |at| -sheet.x[at]) + 0.1 * odds
    });
}

#[test]
fn kto_weighs_answers_against_the_divergence() {
    let swaps = [
        CHOSEN,
        ("input mismatched: seq", "let mismatched = seq_sum(old_log_prob - ref_log_prob)"),
        ("kto(mismatched, beta, desirable, undesirable)", "kto(mismatched, beta, 2, 0.5, good)"),
    ];
    judge_recipe("kto", &swaps, |sheet| {
        let rows = valid(sheet.case);
        let mismatched = |row: &usize| {
            sum(&sheet.row(*row), |at| sheet.get("old_log_prob", at) - sheet.get("ref_log_prob", at))
        };
        let kl = average(&rows.iter().map(mismatched).collect::<Vec<_>>()).max(0.0);
        let loss = |row: &usize| {
            let ratio = log_ratio(sheet, *row, "ref_log_prob");
            if sheet.case.rewards[*row] > 0.0 {
                2.0 * (1.0 - sigmoid(0.1 * (ratio - kl)))
            } else {
                0.5 * (1.0 - sigmoid(0.1 * (kl - ratio)))
            }
        };
        average(&rows.iter().map(loss).collect::<Vec<_>>())
    });
}

#[test]
fn tpo_is_the_cross_entropy_to_the_tilted_policy() {
    judge_recipe("tpo", &[], |sheet| {
        let of = |prompt: &Vec<usize>| {
            let rewards: Vec<f64> = prompt.iter().map(|row| sheet.case.rewards[*row]).collect();
            let centre = average(&rewards);
            let deviation = average(&rewards.iter().map(|r| (r - centre).powi(2)).collect::<Vec<_>>()).sqrt();
            let deviation = if deviation > 1e-6 { deviation } else { 1.0 };
            let old = |row: &usize| sum(&sheet.row(*row), |at| sheet.get("old_log_prob", at));
            let tilted: Vec<f64> = prompt
                .iter()
                .zip(&rewards)
                .map(|(row, reward)| old(row) + (reward - centre) / deviation)
                .collect();
            let scores: Vec<f64> = prompt.iter().map(|row| sum(&sheet.row(*row), |at| sheet.x[at])).collect();
            let (top, all) = (log_sum_exp(&tilted), log_sum_exp(&scores));
            tilted
                .iter()
                .zip(&scores)
                .map(|(tilted, score)| -(tilted - top).exp() * (score - all))
                .sum::<f64>()
        };
        average(&prompts(sheet).iter().map(of).collect::<Vec<_>>())
    });
}

#[test]
fn real_classifies_the_answers_of_a_prompt() {
    judge_recipe("real", &[], |sheet| {
        let of = |prompt: &Vec<usize>| {
            let rewards: Vec<f64> = prompt.iter().map(|row| sheet.case.rewards[*row]).collect();
            let good: Vec<bool> = rewards.iter().map(|reward| *reward > average(&rewards)).collect();
            if good.iter().all(|good| *good) || !good.contains(&true) {
                return 0.0;
            }
            let score = |row: &usize| mean(&sheet.row(*row), |at| sheet.moved(at)) / 0.5;
            let (mut bad, mut right) = (vec![0.0], vec![0.0]);
            for (row, good) in prompt.iter().zip(good) {
                if good { right.push(-score(row)) } else { bad.push(score(row)) }
            }
            log_sum_exp(&bad) + log_sum_exp(&right)
        };
        average(&prompts(sheet).iter().map(of).collect::<Vec<_>>())
    });
}

fn clipped(advantage: f64, ratio: f64, low: f64, high: f64) -> f64 {
    (-advantage * ratio).max(-advantage * ratio.clamp(1.0 - low, 1.0 + high))
}

#[test]
fn turns_have_one_ratio_and_weigh_the_same() {
    judge_recipe("turn_gspo", &[], |sheet| {
        let (means, deviations) = group_mean_and_std(sheet.case, &sheet.case.rewards);
        let mut turns = BTreeMap::<(usize, i64), Vec<usize>>::new();
        for at in sheet.all() {
            turns.entry((at / sheet.case.width, sheet.case.turn[at])).or_default().push(at);
        }
        let loss = |((row, _), tokens): (&(usize, i64), &Vec<usize>)| {
            let advantage = (sheet.case.rewards[*row] - means[*row]) / (deviations[*row] + 1e-6);
            clipped(advantage, mean(tokens, |at| sheet.moved(at)).exp(), 3e-4, 4e-4)
        };
        average(&turns.iter().map(loss).collect::<Vec<_>>())
    });
}

#[test]
fn a_rollout_of_several_rows_counts_once() {
    // Here all rows answer one prompt, and the group is the rollout.
    let swaps = [
        ("input rollout: seq int", "let rollout = group"),
        ("group_sum(share)", "batch_sum(share)"),
        ("group_sum(share *", "batch_sum(share *"),
    ];
    judge_recipe("rollouts", &swaps, |sheet| {
        let rollouts = prompts(sheet);
        let reward = |row: &usize| sheet.case.rewards[*row];
        let over = |of: &dyn Fn(&usize) -> f64| -> Vec<f64> {
            rollouts.iter().map(|rows| average(&rows.iter().map(of).collect::<Vec<_>>())).collect()
        };
        let centre = average(&over(&reward));
        let squares: f64 = over(&|row| (reward(row) - centre).powi(2)).iter().sum();
        let spread = (squares / (rollouts.len() as f64 - 1.0).max(1.0)).sqrt();
        let of = |rollout: &Vec<usize>| {
            let tokens: Vec<usize> = rollout.iter().flat_map(|row| sheet.row(*row)).collect();
            mean(&tokens, |at| {
                let advantage = (reward(&(at / sheet.case.width)) - centre) / (spread + 1e-6);
                clipped(advantage, sheet.moved(at).exp(), 0.2, 0.2)
            })
        };
        average(&rollouts.iter().map(of).collect::<Vec<_>>())
    });
}
