//! Weights, filters and masks for tokens that another policy sampled.

use crate::judge::{LIBRARY, Sheet, judge, mean, sum};
use crate::{assert_near, named, numbers, step, worked};
use tch::Tensor;

/// The logarithm of train over rollout.
fn gap(sheet: &Sheet<'_>, at: usize) -> f64 {
    sheet.get("old_log_prob", at) - sheet.get("rollout_log_prob", at)
}

fn within(x: f64, lo: f64, hi: f64) -> bool {
    lo <= x && x <= hi
}

#[test]
fn token_weights_are_truncated_ratios() {
    judge("token_tis(cap = 1.2, floor = 0.9)", |sheet| {
        sheet.tokens(|at| gap(sheet, at).exp().clamp(0.9, 1.2))
    });
    judge("token_tis(train = log_prob) * log_prob", |sheet| {
        sheet.tokens(|at| (sheet.held[at] - sheet.get("rollout_log_prob", at)).exp().min(2.0) * sheet.x[at])
    });
    judge("rollout_ratio(guard = 0.1)", |sheet| sheet.tokens(|at| gap(sheet, at).clamp(-0.1, 0.1).exp()));
    judge("icepop(low = 0.8, high = 1.3)", |sheet| {
        sheet.tokens(|at| {
            let ratio = gap(sheet, at).exp();
            if within(ratio, 0.8, 1.3) { ratio } else { 0.0 }
        })
    });
}

#[test]
fn sequence_weights_are_products_and_geometric_means() {
    judge("sequence_tis(cap = 1.1)", |sheet| {
        sheet.sequences(|row| sum(row, |at| gap(sheet, at)).exp().min(1.1))
    });
    judge("sequence_tis(cap = 9, guard = 0.3, train = log_prob) * log_prob", |sheet| {
        let held = |at: usize| sheet.held[at] - sheet.get("rollout_log_prob", at);
        sheet.tokens(|at| sum(&sheet.row_of(at), held).clamp(-0.3, 0.3).exp() * sheet.x[at])
    });
    judge("geometric_ratio()", |sheet| sheet.sequences(|row| mean(row, |at| gap(sheet, at)).exp()));
    judge("geometric_mask(low = 0.8, high = 1.1)", |sheet| {
        sheet.tokens(|at| {
            let geometric = mean(&sheet.row_of(at), |at| gap(sheet, at)).exp();
            if within(geometric, 0.8, 1.1) { gap(sheet, at).exp() } else { 0.0 }
        })
    });
}

#[test]
fn weights_can_be_divided_by_their_mean() {
    judge("batch_normalised(token_tis(cap = 1.2))", |sheet| {
        let weight = |at: usize| gap(sheet, at).exp().min(1.2);
        let mean = mean(&sheet.all(), weight);
        sheet.tokens(|at| weight(at) / mean)
    });
    judge("effective_share(token_tis())", |sheet| {
        let weight = |at: usize| gap(sheet, at).exp().min(2.0);
        let all = sheet.all();
        let squares = mean(&all, |at| weight(at).powi(2)).max(1e-8);
        vec![mean(&all, weight).powi(2) / squares]
    });
}

#[test]
fn a_token_is_accepted_by_its_own_statistic_or_by_its_sequence() {
    let max =
        |of: &[usize], value: &dyn Fn(usize) -> f64| of.iter().map(|at| value(*at)).fold(f64::MIN, f64::max);
    for (statistic, lo, hi) in [("ratio", 0.85, 1.2), ("k2", 0.0, 0.03), ("k3", 0.01, 0.05)] {
        for level in ["token", "seq_sum", "seq_mean", "seq_max"] {
            let expr =
                format!("accepted(statistic = \"{statistic}\", level = \"{level}\", bounds = {lo} .. {hi})");
            judge(&expr, |sheet| {
                let of = |at: usize| match statistic {
                    "ratio" => gap(sheet, at),
                    "k2" => gap(sheet, at).powi(2) / 2.0,
                    _ => gap(sheet, at).exp() - 1.0 - gap(sheet, at),
                };
                sheet.tokens(|at| {
                    let row = sheet.row_of(at);
                    let found = match level {
                        "token" => of(at),
                        "seq_sum" => sum(&row, of),
                        "seq_mean" => mean(&row, of),
                        _ => max(&row, &of),
                    };
                    let found = if statistic == "ratio" { found.exp() } else { found };
                    f64::from(within(found, lo, hi))
                })
            });
        }
    }
}

#[test]
fn the_statistic_of_a_token_is_guarded() {
    judge("accepted(statistic = \"k3\", level = \"seq_mean\", bounds = 0 .. 0.01, guard = 0.15)", |sheet| {
        sheet.tokens(|at| {
            let k3 = |at: usize| {
                let l = gap(sheet, at).clamp(-0.15, 0.15);
                l.exp() - 1.0 - l
            };
            f64::from(mean(&sheet.row_of(at), k3) <= 0.01)
        })
    });
}

#[test]
fn a_sequence_with_a_negative_advantage_leaves_when_the_policy_left_it() {
    judge("off_policy_kept(0.05)", |sheet| {
        sheet.tokens(|at| {
            let far = mean(&sheet.row_of(at), |at| sheet.get("rollout_log_prob", at) - sheet.held[at]);
            f64::from(sheet.advantage(at) >= 0.0 || far <= 0.05)
        })
    });
}

#[test]
fn an_old_policy_can_be_had_from_two_that_are_known() {
    judge("loglinear_old(0.25)", |sheet| {
        sheet.tokens(|at| 0.75 * sheet.get("rollout_log_prob", at) + 0.25 * sheet.held[at])
    });
}

#[test]
fn a_mean_over_what_is_kept_divides_by_what_is_kept() {
    judge("kept_mean(log_prob, advantages > 0.5)", |sheet| {
        let kept: Vec<usize> = sheet.all().into_iter().filter(|at| sheet.advantage(*at) > 0.5).collect();
        vec![mean(&kept, |at| sheet.x[at])]
    });
}

#[test]
fn groups_that_scored_alike_say_nothing() {
    judge("mixed_group()", |sheet| {
        let member =
            |a: usize, b: usize| sheet.case.is_valid(b) && sheet.case.group[a] == sheet.case.group[b];
        let of = |row: &[usize]| {
            let own = row[0] / sheet.case.width;
            let differs = |other: usize| (sheet.case.rewards[other] - sheet.case.rewards[own]).abs() > 1e-6;
            f64::from((0..sheet.case.sequences).any(|other| member(own, other) && differs(other)))
        };
        sheet.sequences(of)
    });
}

#[test]
fn equal_rewards_have_no_spread_whatever_their_digits() {
    let (batch, _) = worked::policies();
    let batch = batch
        .with("rewards", Tensor::from_slice(&[0.1, 0.1, 0.1]))
        .with("response_mask", Tensor::ones([3, 4], (tch::Kind::Bool, tch::Device::Cpu)))
        .with("group", Tensor::from_slice(&[3i64, 3, 3]));
    let text = format!("{LIBRARY}\nlet value = mixed_group()\nloss = token_mean(where(value, log_prob, 0))");
    let output = step(&text, &batch);
    assert_eq!(numbers(named(&output, "value")), [0.0; 3]);
}

#[test]
fn cut_off_sequences_are_left_out() {
    let (batch, logp) = worked::policies();
    let batch = batch.with("truncated", Tensor::from_slice(&[false, true, false]));
    let text = format!(
        "{LIBRARY}\nloss = kept_mean(log_prob, complete())\nmetric counted = token_mean(where(complete(), log_prob, 0))"
    );
    let output = step(&text, &batch);
    output.backward().unwrap();
    assert_near(&numbers(output.loss()), &[-1.0], 1e-15, "over the tokens that are left");
    assert_near(&[output.metrics().unwrap()["counted"]], &[-4.0 / 7.0], 1e-15, "over all tokens");
    assert_near(&numbers(logp.grad()), &[[0.25; 4], [0.0; 4], [0.0; 4]].concat(), 1e-15, "gradient");
}

#[test]
fn weights_of_three_sequences_are_those_worked_out_by_hand() {
    let text = format!(
        "{LIBRARY}
        let ratio = rollout_ratio()
        let cut = token_tis(2)
        let iced = icepop(low = 0.5, high = 2)
        let product = sequence_tis(cap = 1e9)
        let geometric = geometric_ratio()
        let drift = seq_mean(exp(old_log_prob - rollout_log_prob) - 1 - (old_log_prob - rollout_log_prob))
        let fresh = m2po_kept(threshold = 0.04)
        metric share = effective_share(cut)
        metric decoupled = token_mean(cut * clip_ppo(low = 0.2, high = 0.28, dual = 3))
        metric packaged = token_mean(decoupled_ppo(cap = 2, low = 0.2, high = 0.28))
        metric undual = token_mean(cut * clip_ppo(low = 0.2, high = 0.28))
        loss = token_mean(log_prob)"
    );
    let output = step(&text, &worked::policies().0);
    let near = |name: &str, expected: &[f64]| {
        assert_near(&numbers(named(&output, name))[..expected.len()], expected, 1e-6, name);
    };
    near("ratio", &[1.105_171, 0.904_837, 1.0, 2.225_541, 1.0, 1.491_825, 0.201_897]);
    near("cut", &[1.105_171, 0.904_837, 1.0, 2.0, 1.0, 1.491_825, 0.201_897]);
    near("iced", &[1.105_171, 0.904_837, 1.0, 0.0, 1.0, 1.491_825, 0.0]);
    near("product", &[2.225_541, 0.301_194]);
    near("geometric", &[1.221_403, 0.670_320]);
    near("drift", &[0.108_887, 0.297_907]);
    near("fresh", &[1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    let metrics = output.metrics().unwrap();
    assert_near(&[metrics["share"]], &[0.822_613], 1e-6, "share");
    assert_near(&[metrics["decoupled"]], &[-0.356_091_71], 1e-8, "decoupled");
    assert_near(&[metrics["packaged"]], &[metrics["undual"]], 1e-15, "packaged");
}
