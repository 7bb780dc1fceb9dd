//! Advantages from the rewards of a prompt's samples.

use crate::judge::{Sheet, judge, judge_where, mean, sum};
use crate::reference::{group_mean_and_std, valid};
use crate::values;
use aent::testing::{Case, Extent, rough, sample};

/// One number per valid sequence from its own reward and those of its prompt's other samples.
fn per_sample(sheet: &Sheet<'_>, of: impl Fn(f64, &[f64]) -> f64) -> Vec<f64> {
    let case = sheet.case;
    sheet.sequences(|row| {
        let own = row[0] / case.width;
        let mates =
            valid(case).into_iter().filter(|other| *other != own && case.group[*other] == case.group[own]);
        of(case.rewards[own], &mates.map(|other| case.rewards[other]).collect::<Vec<_>>())
    })
}

fn average(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

/// All samples of a prompt: one and its mates.
fn together(own: f64, mates: &[f64]) -> Vec<f64> {
    [&[own], mates].concat()
}

/// The unbiased deviation, 0 of one number.
fn deviation(of: &[f64]) -> f64 {
    let squares = of.iter().map(|x| (x - average(of)).powi(2)).sum::<f64>();
    (squares / (of.len().max(2) - 1) as f64).sqrt()
}

#[test]
fn grpo_takes_the_mean_off_and_divides_by_the_deviation() {
    for (args, eps) in [("", 1e-6), ("eps = 0.1", 0.1)] {
        judge(&format!("grpo_advantages({args})"), |sheet| {
            per_sample(sheet, |own, mates| {
                let all = together(own, mates);
                (own - average(&all)) / (deviation(&all) + eps)
            })
        });
    }
    judge("dr_grpo_advantages()", |sheet| {
        per_sample(sheet, |own, mates| own - average(&together(own, mates)))
    });
}

#[test]
fn rloo_compares_with_the_other_samples() {
    judge("rloo_advantages()", |sheet| {
        per_sample(sheet, |own, mates| if mates.is_empty() { 0.0 } else { own - average(mates) })
    });
}

#[test]
fn the_deviation_may_be_that_of_the_other_samples() {
    // Three levels of reward, so that the others are alike now and then.
    let level = |reward: f64| if reward > 0.7 { 1.0 } else { f64::from(reward > 0.0) / 2.0 };
    judge("leave_one_out_advantages(where(rewards > 0.7, 1, where(rewards > 0, 0.5, 0)))", |sheet| {
        per_sample(sheet, |own, mates| {
            let mates: Vec<f64> = mates.iter().map(|reward| level(*reward)).collect();
            match deviation(&mates) {
                _ if mates.is_empty() => 0.0,
                spread if spread > 0.0 => (level(own) - average(&mates)) / (spread + 1e-6),
                _ => level(own) - average(&mates),
            }
        })
    });
}

#[test]
fn remax_compares_with_the_greedy_answer() {
    judge("remax_advantages(0.25)", |sheet| per_sample(sheet, |own, _| own - 0.25));
}

#[test]
fn opo_weighs_the_baseline_by_lengths() {
    judge("opo_advantages()", |sheet| {
        let case = sheet.case;
        sheet.sequences(|row| {
            let own = row[0] / case.width;
            let of_prompt = |other: &usize| case.group[*other] == case.group[own];
            let (mut top, mut bottom) = (0.0, 0.0);
            for other in valid(case).into_iter().filter(of_prompt) {
                let length = sheet.row(other).len() as f64;
                top += length * case.rewards[other];
                bottom += length;
            }
            case.rewards[own] - top / bottom
        })
    });
}

#[test]
fn gpg_scales_by_how_many_rewards_are_not_zero() {
    judge("gpg_advantages(max(rewards, 0))", |sheet| {
        let case = sheet.case;
        let scored = valid(case).into_iter().filter(|row| case.rewards[*row] > 0.0).count().max(1);
        let scale = valid(case).len() as f64 / scored as f64;
        per_sample(sheet, |own, mates| {
            let all: Vec<f64> = together(own, mates).into_iter().map(|reward| reward.max(0.0)).collect();
            scale * (own.max(0.0) - average(&all))
        })
    });
}

#[test]
fn maxrl_divides_by_a_mean_that_is_positive() {
    judge("maxrl_advantages()", |sheet| {
        per_sample(sheet, |own, mates| {
            let mean = average(&together(own, mates));
            if mean > 0.0 { (own - mean) / mean } else { 0.0 }
        })
    });
}

#[test]
fn only_the_best_sample_has_an_advantage_over_the_second() {
    // Rewards in halves tie now and then.
    judge("best_only_advantages(where(rewards > 1, 1, where(rewards > 0, 0.5, 0)))", |sheet| {
        let level = |reward: f64| {
            if reward > 1.0 {
                1.0
            } else if reward > 0.0 {
                0.5
            } else {
                0.0
            }
        };
        per_sample(sheet, |own, mates| {
            let all: Vec<f64> = together(own, mates).into_iter().map(level).collect();
            let second = all[1..].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if second >= all[0] || mates.is_empty() {
                0.0
            } else {
                (all[0] - second) / (deviation(&all) + 1e-6)
            }
        })
    });
}

/// Whether a choice of `k` of the samples holds a right one, on average over all choices.
fn chance(right: &[bool], k: usize) -> f64 {
    let k = k.min(right.len());
    let (mut hits, mut all) = (0, 0);
    for choice in 0..1_usize << right.len() {
        if choice.count_ones() as usize == k {
            all += 1;
            hits += usize::from(right.iter().enumerate().any(|(at, right)| *right && choice >> at & 1 == 1));
        }
    }
    f64::from(hits as u32) / f64::from(all as u32)
}

#[test]
fn the_chance_that_one_of_k_is_right_is_that_of_all_choices() {
    for k in 0..5 {
        let found = values(&format!("pass_at_k(group_sum(rewards > 0), group_sum(1), k = {k})"));
        for case in sample(&rough(Extent { sequences: 1..=8, ..Extent::default() }), 60) {
            let found = found(&case);
            for row in valid(&case) {
                let mates = valid(&case).into_iter().filter(|other| case.group[*other] == case.group[row]);
                let right: Vec<bool> = mates.map(|other| case.rewards[other] > 0.0).collect();
                let expected = chance(&right, k);
                assert!((found[row] - expected).abs() < 1e-12, "{k} of {right:?}: {}", found[row]);
            }
        }
    }
}

#[test]
fn pass_at_k_rewards_what_a_sample_adds_to_the_chance() {
    for k in 1..4 {
        judge(&format!("pass_at_k_advantages({k})"), |sheet| {
            per_sample(sheet, |own, mates| {
                let right = |of: &[f64]| of.iter().map(|reward| *reward > 0.0).collect::<Vec<_>>();
                let mean = chance(&right(&together(own, mates)), k);
                // A group that holds this sample succeeds with it, or with one of k - 1 others.
                let with = if own > 0.0 { 1.0 } else { chance(&right(mates), k - 1) };
                (with - mean) / ((mean * (1.0 - mean)).sqrt() + 1e-6)
            })
        });
    }
}

#[test]
fn hard_prompts_learn_from_successes_and_easy_ones_from_failures() {
    judge("quantile_advantages(0.4, where(rewards > 0, 1, 0))", |sheet| {
        per_sample(sheet, |own, mates| {
            let all: Vec<f64> =
                together(own, mates).into_iter().map(|reward| f64::from(reward > 0.0)).collect();
            let baseline = f64::from(average(&all) > 0.6);
            if deviation(&all) > 0.0 { (all[0] - baseline) / (deviation(&all) + 1e-6) } else { 0.0 }
        })
    });
}

#[test]
fn unlikely_tokens_have_larger_advantages() {
    judge("rescaled_advantages(0.3)", |sheet| {
        sheet.tokens(|at| {
            let (a, x) = (sheet.advantage(at), sheet.held[at]);
            if a > 0.0 { (a * (1.0 - 0.3 * x)).max(0.0) } else { (a * (1.0 + 0.3 * x)).min(0.0) }
        })
    });
}

/// Less the mean over the step's tokens, over the unbiased deviation.
fn whiten(sheet: &Sheet<'_>, of: impl Fn(usize) -> f64) -> Vec<f64> {
    let all = sheet.all();
    let middle = mean(&all, &of);
    let variance = sum(&all, |at| (of(at) - middle).powi(2)) / (all.len().max(2) - 1) as f64;
    sheet.tokens(|at| (of(at) - middle) / (variance + 1e-8).sqrt())
}

/// Cases whose sequences do not all score alike, where rounding would be divided by nearly nothing.
fn varied(case: &Case) -> bool {
    valid(case).len() != 1
}

#[test]
fn whitened_advantages_have_no_mean_and_a_deviation_of_one() {
    judge_where(varied, "whitened()", |sheet| whiten(sheet, |at| sheet.advantage(at)));
    let of_prompts = |case: &Case| {
        let (means, _) = group_mean_and_std(case, &case.rewards);
        valid(case).is_empty()
            || valid(case).iter().any(|row| (case.rewards[*row] - means[*row]).abs() > 1e-3)
    };
    judge_where(of_prompts, "where(response_mask, reinforce_pp_baseline_advantages(), 0)", |sheet| {
        let (means, _) = group_mean_and_std(sheet.case, &sheet.case.rewards);
        let row = |at: usize| at / sheet.case.width;
        whiten(sheet, |at| sheet.case.rewards[row(at)] - means[row(at)])
    });
}

#[test]
fn reinforce_pp_whitens_the_discounted_return() {
    let spec = "reinforce_pp_advantages(token_rewards = old_log_prob - ref_log_prob, gamma = 0.9)";
    judge_where(varied, spec, |sheet| {
        let reward = |at: usize| sheet.get("old_log_prob", at) - sheet.get("ref_log_prob", at);
        let mut returns = vec![0.0; sheet.case.mask.len()];
        for row in 0..sheet.case.sequences {
            let mut following = sheet.case.rewards[row] / 0.9;
            for at in sheet.row(row).into_iter().rev() {
                following = reward(at) + 0.9 * following;
                returns[at] = following;
            }
        }
        whiten(sheet, |at| returns[at])
    });
}

/// Advantage and return of every token, by the recursion over its sequence's valid tokens.
fn estimates(
    sheet: &Sheet<'_>,
    gamma: f64,
    lam: impl Fn(&[usize]) -> f64,
    dense: impl Fn(usize) -> f64,
) -> (Vec<f64>, Vec<f64>) {
    let mut found = (vec![0.0; sheet.case.mask.len()], vec![0.0; sheet.case.mask.len()]);
    for row in 0..sheet.case.sequences {
        let tokens = sheet.row(row);
        let (mut advantage, mut next) = (0.0, 0.0);
        for (step, at) in tokens.iter().copied().enumerate().rev() {
            let outcome = if step + 1 == tokens.len() { sheet.case.rewards[row] } else { 0.0 };
            let value = sheet.get("old_values", at);
            advantage = dense(at) + outcome + gamma * next - value + gamma * lam(&tokens) * advantage;
            next = value;
            found.0[at] = advantage;
            found.1[at] = advantage + value;
        }
    }
    found
}

#[test]
fn gae_follows_its_recursion_over_the_tokens_that_count() {
    judge("gae(gamma = 0.9, lam = 0.8)", |sheet| estimates(sheet, 0.9, |_| 0.8, |_| 0.0).0);
    judge("gae(gamma = 0.9, lam = 0.8).returns", |sheet| estimates(sheet, 0.9, |_| 0.8, |_| 0.0).1);
    judge("gae(token_rewards = -0.1 * (old_log_prob - ref_log_prob))", |sheet| {
        let dense = |at: usize| -0.1 * (sheet.get("old_log_prob", at) - sheet.get("ref_log_prob", at));
        estimates(sheet, 1.0, |_| 1.0, dense).0
    });
    judge("gae(lam = 1 - 1 / (0.4 * length))", |sheet| {
        estimates(sheet, 1.0, |row| (1.0 - 1.0 / (0.4 * row.len() as f64)).clamp(0.0, 1.0), |_| 0.0).0
    });
}

#[test]
fn the_penalty_of_long_answers_grows_in_the_buffer() {
    judge("overlong_penalty(4, 3, factor = 0.5)", |sheet| {
        sheet.sequences(|row| ((4.0 - 3.0 - row.len() as f64).min(0.0) / 3.0) * 0.5)
    });
}

#[test]
fn the_deviation_of_a_batch_is_that_of_its_valid_sequences() {
    judge("batch_std(rewards)", |sheet| {
        let rewards: Vec<f64> = valid(sheet.case).into_iter().map(|row| sheet.case.rewards[row]).collect();
        vec![if rewards.is_empty() { 0.0 } else { deviation(&rewards) }]
    });
}

#[test]
fn groups_have_sums_and_greatest_values() {
    judge("group_sum(rewards)", |sheet| {
        per_sample(sheet, |own, mates| together(own, mates).into_iter().sum())
    });
    judge("group_max(rewards)", |sheet| {
        per_sample(sheet, |own, mates| together(own, mates).into_iter().fold(f64::NEG_INFINITY, f64::max))
    });
    judge("group_sum(1)", |sheet| per_sample(sheet, |_, mates| (mates.len() + 1) as f64));
    judge("group_sum(seq_sum(log_prob))", |sheet| {
        let rows = sheet.sequences(|row| sum(row, |at| sheet.x[at]));
        let mates = |own: usize| {
            (0..rows.len()).filter(move |other| sheet.case.group[*other] == sheet.case.group[own])
        };
        sheet.sequences(|row| {
            mates(row[0] / sheet.case.width)
                .filter(|other| sheet.case.is_valid(*other))
                .map(|other| rows[other])
                .sum()
        })
    });
    judge("group_max(seq_sum(log_prob))", |sheet| {
        let rows = sheet.sequences(|row| sum(row, |at| sheet.x[at]));
        let mates = |own: usize| {
            (0..rows.len()).filter(move |other| sheet.case.group[*other] == sheet.case.group[own])
        };
        sheet.sequences(|row| {
            mates(row[0] / sheet.case.width)
                .filter(|other| sheet.case.is_valid(*other))
                .map(|other| rows[other])
                .fold(f64::NEG_INFINITY, f64::max)
        })
    });
}
