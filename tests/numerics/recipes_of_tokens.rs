//! Recipes that weigh, mask or shape single tokens, against the formulas of the frameworks and papers that they name.

use crate::judge::{Sheet, judge_recipe, mean};
use crate::reference::{Set, entropy, group_mean_and_std, kl, row};

fn clipped(advantage: f64, ratio: f64, low: f64, high: f64) -> f64 {
    (-advantage * ratio).max(-advantage * ratio.clamp(1.0 - low, 1.0 + high))
}

/// The ratio to the old policy, its logarithm within 20.
fn ratio(sheet: &Sheet<'_>, at: usize) -> f64 {
    sheet.moved(at).clamp(-20.0, 20.0).exp()
}

/// The advantages of GRPO, one per sequence.
fn grpo(sheet: &Sheet<'_>, eps: f64) -> Vec<f64> {
    let (means, deviations) = group_mean_and_std(sheet.case, &sheet.case.rewards);
    let rewards = sheet.case.rewards.iter().enumerate();
    rewards.map(|(row, reward)| (reward - means[row]) / (deviations[row] + eps)).collect()
}

/// The mean over the step's tokens of a loss that knows its token's advantage under GRPO.
fn token_mean(sheet: &Sheet<'_>, eps: f64, loss: impl Fn(usize, f64) -> f64) -> f64 {
    let advantages = grpo(sheet, eps);
    mean(&sheet.all(), |at| loss(at, advantages[at / sheet.case.width]))
}

/// The entropy of the row of a token.
fn entropy_at(sheet: &Sheet<'_>, at: usize) -> f64 {
    entropy(row(sheet.case, at), Set::All)
}

#[test]
fn kpop_leaves_out_tokens_by_the_divergence_of_a_coin() {
    // AReaL's `compute_binary_kl_divergence`, under a limit that these cases reach.
    let divergence = |p: f64, q: f64| {
        let (p, q) = (p.exp().clamp(1e-8, 1.0 - 1e-8), q.exp().clamp(1e-8, 1.0 - 1e-8));
        p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln()
    };
    judge_recipe("kpop", &[("coin_kept(limit)", "coin_kept(0.02)")], |sheet| {
        token_mean(sheet, 1e-5, |at, advantage| {
            let (train, rollout) = (sheet.get("old_log_prob", at), sheet.get("rollout_log_prob", at));
            if divergence(train, rollout).max(divergence(rollout, train)) > 0.02 {
                return 0.0;
            }
            (train - rollout).exp() * clipped(advantage, ratio(sheet, at), 0.2, 0.2)
        })
    });
}

#[test]
fn vaco_filters_sequences_whose_variation_is_large() {
    judge_recipe("vaco", &[], |sheet| {
        let gap = |at: usize| sheet.get("old_log_prob", at) - sheet.get("rollout_log_prob", at);
        token_mean(sheet, 1e-6, |at, advantage| {
            let rho = |at: usize| gap(at).clamp(-10.0, 10.0).exp();
            let variation = mean(&sheet.row_of(at), |at| (rho(at) - 1.0).abs());
            let leaves = gap(at).signum() * advantage > 0.0 && gap(at) != 0.0;
            if variation > 0.2 && leaves {
                return 0.0;
            }
            rho(at).min(2.0) * clipped(advantage, ratio(sheet, at), 0.2, 0.2)
        })
    });
}

#[test]
fn prime_rl_masks_what_moved_either_way() {
    judge_recipe("prime_rl_ipo", &[], |sheet| {
        let (means, _) = group_mean_and_std(sheet.case, &sheet.case.rewards);
        mean(&sheet.all(), |at| {
            let sequence = at / sheet.case.width;
            let rollout = sheet.get("rollout_log_prob", at);
            let gap = sheet.x[at] - rollout;
            let kept = (sheet.x[at].exp() - rollout.exp()).abs() <= 0.1;
            let policy =
                if kept { (sheet.case.rewards[sequence] - means[sequence]) * gap.exp() } else { 0.0 };
            -policy + 1e-3 * gap * gap
        })
    });
}

#[test]
fn cfpo_has_a_quadratic_price_in_place_of_a_clip() {
    judge_recipe("cfpo", &[], |sheet| {
        token_mean(sheet, 1e-6, |at, advantage| {
            let ratio = ratio(sheet, at);
            -(ratio * advantage - advantage.abs() / (2.0 * 0.2) * (ratio - 1.0).powi(2))
        })
    });
}

#[test]
fn fipo_weighs_tokens_by_what_follows() {
    judge_recipe("fipo", &[], |sheet| {
        let gamma = 2f64.powf(-1.0 / 32.0);
        token_mean(sheet, 1e-6, |at, advantage| {
            let behind: Vec<usize> = sheet.row_of(at).into_iter().filter(|other| *other >= at).collect();
            let steps = behind.iter().enumerate();
            let held = |at: usize| sheet.held[at] - sheet.get("old_log_prob", at);
            let future: f64 = steps.map(|(step, at)| gamma.powi(step as i32) * held(*at)).sum();
            let mut weight = future.exp().clamp(1.0, 1.2);
            if advantage < 0.0 && held(at).exp() > 4.0 {
                weight = weight.clamp(0.8, 1.0);
            }
            weight * clipped(advantage, ratio(sheet, at), 0.2, 0.2)
        })
    });
}

#[test]
fn steer_weighs_tokens_by_how_they_move_the_entropy() {
    judge_recipe("steer", &[], |sheet| {
        let advantages = grpo(sheet, 1e-6);
        let metric = |at: usize| {
            let p = sheet.held[at].exp().clamp(1e-8, 1.0 - 1e-8);
            let old = sheet.get("old_log_prob", at).exp().clamp(1e-8, 1.0);
            let advantage = advantages[at / sheet.case.width];
            (advantage / old * (p * (1.0 - p)) * (p.ln() + entropy_at(sheet, at))).abs()
        };
        let all: Vec<f64> = sheet.all().into_iter().map(metric).collect();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = all.iter().copied().fold(0.0, f64::max);
        mean(&sheet.all(), |at| {
            let scale = (1.2 - 0.8) / (most - least);
            let weight = if most - least > 1e-12 { 1.2 - (metric(at) - least) * scale } else { 1.0 };
            let advantage = advantages[at / sheet.case.width];
            let loss = clipped(advantage, ratio(sheet, at), 0.2, 0.28);
            weight * if advantage < 0.0 { loss.min(-10.0 * advantage) } else { loss }
        })
    });
}

#[test]
fn repo_shapes_advantages_by_the_log_probability() {
    judge_recipe("repo", &[], |sheet| {
        token_mean(sheet, 1e-6, |at, advantage| {
            let shaped = advantage - 0.01 * (sheet.held[at] + entropy_at(sheet, at));
            clipped(shaped, ratio(sheet, at), 0.2, 0.2)
        })
    });
    judge_recipe("repo_r", &[], |sheet| {
        token_mean(sheet, 1e-6, |at, advantage| {
            let log_prob = sheet.held[at];
            let shaped = if advantage > 0.0 {
                (advantage * (1.0 - 0.01 * log_prob)).max(0.0)
            } else {
                (advantage * (1.0 + 0.01 * log_prob)).min(0.0)
            };
            clipped(shaped, ratio(sheet, at), 0.2, 0.2)
        })
    });
}

#[test]
fn adapo_starts_from_the_usual_clip() {
    judge_recipe("adapo", &[], |sheet| {
        token_mean(sheet, 1e-6, |at, advantage| clipped(advantage, ratio(sheet, at), 0.2, 0.2))
    });
}

#[test]
fn aepo_reinforces_what_scored_at_another_temperature() {
    let swap = ("input tempered: seq bool", "let tempered = rewards > 0.5");
    judge_recipe("aepo", &[swap], |sheet| {
        token_mean(sheet, 1e-6, |at, advantage| {
            let reward = sheet.case.rewards[at / sheet.case.width];
            if reward > 0.5 { -reward * sheet.x[at] } else { clipped(advantage, ratio(sheet, at), 0.2, 0.2) }
        })
    });
}

#[test]
fn lp_reg_holds_unlikely_tokens_of_bad_answers() {
    let swaps = [
        ("input proxy_log_prob: token", "let proxy_log_prob = rollout_log_prob"),
        ("param share = 1% in 0 .. 1", "param share = 50% in 0 .. 1"),
    ];
    judge_recipe("lp_reg", &swaps, |sheet| {
        let mut sorted: Vec<f64> = sheet.all().into_iter().map(|at| sheet.held[at]).collect();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
        let place = 0.5 * last as f64;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        let threshold = below + (above - below) * place.fract();
        token_mean(sheet, 1e-6, |at, advantage| {
            let proxy = sheet.get("rollout_log_prob", at);
            if sheet.held[at] <= threshold && advantage < 0.0 && sheet.held[at] < proxy {
                let e = (proxy - sheet.x[at]).clamp(-20.0, 20.0);
                -advantage * ratio(sheet, at) + kl("k3", e).clamp(-10.0, 10.0)
            } else {
                clipped(advantage, ratio(sheet, at), 1.0, 9.0)
            }
        })
    });
}

#[test]
fn entrocraft_chooses_advantages_by_the_entropy() {
    // Entropies above and below the band, which is 0.6 .. 0.7 at the first step, and within it.
    for (swap, shift) in [("token_mean(abs(returns))", 0.0), ("token_mean(abs(returns) - 0.4)", -0.4)] {
        judge_recipe("entrocraft", &[("token_mean(old_entropy)", swap)], |sheet| {
            let now = mean(&sheet.all(), |at| sheet.get("returns", at).abs() + shift);
            token_mean(sheet, 1e-6, |at, advantage| {
                let reward = sheet.case.rewards[at / sheet.case.width];
                let advantage = if now > 0.7 {
                    reward.max(0.0)
                } else if now < 0.6 {
                    reward.min(0.0)
                } else {
                    advantage
                };
                clipped(advantage, ratio(sheet, at), 0.2, 0.2)
            })
        });
    }
    judge_recipe("entrocraft", &[("token_mean(old_entropy)", "0.65 + 0 * token_mean(returns)")], |sheet| {
        token_mean(sheet, 1e-6, |at, advantage| clipped(advantage, ratio(sheet, at), 0.2, 0.2))
    });
}

#[test]
fn sampling_mask_is_ppo_over_the_tokens_that_the_sampler_kept() {
    judge_recipe("sampling_mask", &[], |sheet| {
        let kept = sheet.case.kept();
        token_mean(sheet, 1e-6, |at, advantage| {
            let z = row(sheet.case, at);
            let ids = kept[at].iter().filter(|id| **id >= 0).map(|id| z[*id as usize]);
            let top = ids.clone().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = top + ids.map(|z| (z - top).exp()).sum::<f64>().ln();
            let log_prob = z[sheet.case.actions[at] as usize] - log_sum;
            let ratio = (log_prob - sheet.get("rollout_log_prob", at)).clamp(-20.0, 20.0).exp();
            clipped(advantage, ratio, 0.2, 0.2)
        })
    });
}

#[test]
fn top_k_distillation_has_the_rest_of_each_side_as_one_more_token() {
    // TRL's `add_tail` keeps `log Σ p` at or below -1e-7.
    let rest = |log_sum: f64| -log_sum.min(-1e-7).exp_m1();
    judge_recipe("top_k_distillation", &[], |sheet| {
        let (ids, teacher) = (sheet.case.teacher_ids(), sheet.case.teacher_log_prob());
        mean(&sheet.all(), |at| {
            let z = row(sheet.case, at);
            let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
            let listed = ids[at].iter().zip(teacher[at]).filter(|(id, _)| **id >= 0);
            let pairs: Vec<[f64; 2]> =
                listed.map(|(id, teacher)| [z[*id as usize] - log_sum, teacher]).collect();
            if pairs.is_empty() {
                return 0.0;
            }
            // A token that the teacher bans adds 0.
            let part = |[policy, teacher]: [f64; 2]| {
                if teacher == f64::NEG_INFINITY { 0.0 } else { teacher.exp() * (teacher - policy) }
            };
            let rests = [0, 1].map(|side| {
                let sum: f64 = pairs.iter().map(|pair| pair[side].exp()).sum();
                rest(sum.ln()).ln()
            });
            pairs.iter().copied().map(part).sum::<f64>() + part(rests)
        })
    });
}
