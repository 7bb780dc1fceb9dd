//! Surrogates that look at one token at a time.

use crate::judge::{Sheet, judge, mean};

/// The ratio, its logarithm clamped.
fn ratio(sheet: &Sheet<'_>, at: usize, guard: f64) -> f64 {
    sheet.moved(at).clamp(-guard, guard).exp()
}

/// The same with the log-probability held constant.
fn held_ratio(sheet: &Sheet<'_>, at: usize, guard: f64) -> f64 {
    ratio(&Sheet { x: sheet.held, ..*sheet }, at, guard)
}

fn truth(holds: bool) -> f64 {
    f64::from(holds)
}

#[test]
fn cispo_clips_the_weight_and_not_the_loss() {
    for (args, lo, hi, guard) in [
        ("bounds = 0 .. 5", 0.0, 5.0, 20.0),
        ("bounds = 0.8 .. 1.28", 0.8, 1.28, 20.0),
        ("bounds = 0 .. 1, guard = 0.2", 0.0, 1.0, 0.2),
    ] {
        judge(&format!("cispo({args})"), |sheet| {
            sheet.tokens(|at| -held_ratio(sheet, at, guard).clamp(lo, hi) * sheet.advantage(at) * sheet.x[at])
        });
        judge(&format!("cispo({args}).clipped"), |sheet| {
            sheet.tokens(|at| {
                let ratio = held_ratio(sheet, at, guard);
                truth(ratio < lo || ratio > hi)
            })
        });
    }
}

#[test]
fn cispo_has_the_ratio_of_the_policies_next_to_it() {
    judge("cispo(bounds = 0 .. 5).ratio", |sheet| sheet.tokens(|at| ratio(sheet, at, 20.0)));
}

/// Whether the token is inside the region, by total variation or by the divergence of taking it or not.
fn kept(sheet: &Sheet<'_>, at: usize, kl: bool, low: f64, high: f64) -> bool {
    let (x, o) = (sheet.held[at], sheet.get("old_log_prob", at));
    let (p, q) = (x.exp(), o.exp());
    let bernoulli = q * (o - x) + (1.0 - q) * ((1.0 - q + 1e-8) / (1.0 - p + 1e-8)).ln();
    match (kl, sheet.advantage(at) > 0.0) {
        (false, true) => p - q <= high,
        (false, false) => p - q >= -low,
        (true, true) => bernoulli <= high || p <= q,
        (true, false) => bernoulli <= low || p >= q,
    }
}

#[test]
fn dppo_keeps_tokens_whose_probability_moved_little() {
    for (args, kl, low, high, cap) in [
        ("low = 0.05, high = 0.1", false, 0.05, 0.1, 3.0),
        ("divergence = \"kl\", low = 0.01, high = 0.02, cap = 1.2", true, 0.01, 0.02, 1.2),
        ("", false, 0.2, 0.2, 3.0),
    ] {
        judge(&format!("dppo({args})"), |sheet| {
            sheet.tokens(|at| {
                let weight = held_ratio(sheet, at, 20.0).min(cap) * truth(kept(sheet, at, kl, low, high));
                -weight * sheet.advantage(at) * sheet.x[at]
            })
        });
        judge(&format!("dppo({args}).kept"), |sheet| {
            sheet.tokens(|at| truth(kept(sheet, at, kl, low, high)))
        });
    }
}

#[test]
fn gppo_keeps_a_bounded_gradient_where_ppo_has_none() {
    for (args, betas, dual) in [
        ("low = 0.2, high = 0.28", [1.0, 1.0], None),
        ("low = 0.2, high = 0.28, beta_low = 0.25, beta_high = 0.75", [0.25, 0.75], None),
        ("low = 0.2, high = 0.28, beta_low = 0, beta_high = 0.5, dual = 1.2", [0.0, 0.5], Some(1.2)),
    ] {
        judge(&format!("gppo({args})"), |sheet| {
            sheet.tokens(|at| {
                let (a, r, held) = (sheet.advantage(at), ratio(sheet, at, 20.0), held_ratio(sheet, at, 20.0));
                let loss = if a < 0.0 && held < 0.8 {
                    -betas[0] * 0.8 * (r / held) * a
                } else if a > 0.0 && held > 1.28 {
                    -betas[1] * 1.28 * (r / held) * a
                } else {
                    -r * a
                };
                dual.filter(|_| a < 0.0).map_or(loss, |dual: f64| loss.min(-dual * a))
            })
        });
        judge(&format!("gppo({args}).clipped"), |sheet| {
            sheet.tokens(|at| {
                let (a, r) = (sheet.advantage(at), held_ratio(sheet, at, 20.0));
                truth((a < 0.0 && r < 0.8) || (a > 0.0 && r > 1.28))
            })
        });
    }
}

#[test]
fn whole_gppo_has_the_value_of_the_clipped_surrogate() {
    judge("gppo(high = 0.28) - clip_ppo(high = 0.28)", |sheet| {
        sheet.tokens(|at| {
            // Only the gradient at clipped tokens is left over.
            let (a, r, held) = (sheet.advantage(at), ratio(sheet, at, 20.0), held_ratio(sheet, at, 20.0));
            let clipped = (a < 0.0 && held < 0.8) || (a > 0.0 && held > 1.28);
            -truth(clipped) * held.clamp(0.8, 1.28) * a * (r / held - 1.0)
        })
    });
}

#[test]
fn the_ratio_to_any_policy_is_guarded() {
    judge("policy_ratio(guard = 0.2)", |sheet| sheet.tokens(|at| ratio(sheet, at, 0.2)));
    judge("policy_ratio(rollout_log_prob)", |sheet| {
        sheet.tokens(|at| (sheet.x[at] - sheet.get("rollout_log_prob", at)).exp())
    });
}

#[test]
fn the_policy_gradient_is_the_weighted_log_likelihood() {
    judge("reinforce()", |sheet| sheet.tokens(|at| -sheet.advantage(at) * sheet.x[at]));
    judge("reinforce(advantages = returns * log_prob)", |sheet| {
        sheet.tokens(|at| -sheet.get("returns", at) * sheet.held[at] * sheet.x[at])
    });
}

#[test]
fn the_likelihood_of_samples_that_scored_is_averaged_over_their_tokens() {
    judge("positive_nll()", |sheet| {
        let scored = |at: &usize| sheet.case.rewards[at / sheet.case.width] > 0.0;
        let tokens: Vec<usize> = sheet.all().into_iter().filter(scored).collect();
        vec![mean(&tokens, |at| -sheet.x[at])]
    });
}

#[test]
fn sapo_gates_the_ratio_softly_by_the_sign_of_the_advantage() {
    for (args, positive, negative) in [("", 1.0, 1.05), ("tau_pos = 2, tau_neg = 4, guard = 30", 2.0, 4.0)] {
        judge(&format!("sapo({args})"), |sheet| {
            sheet.tokens(|at| {
                let tau = if sheet.advantage(at) > 0.0 { positive } else { negative };
                let gate = 4.0 / tau / (1.0 + (-tau * (ratio(sheet, at, 20.0) - 1.0)).exp());
                -gate * sheet.advantage(at)
            })
        });
    }
}

#[test]
fn dro_pulls_back_to_the_old_policy() {
    judge("dro(0.5)", |sheet| {
        sheet.tokens(|at| -sheet.advantage(at) * sheet.x[at] + 0.25 * sheet.moved(at).powi(2))
    });
    judge("dro(beta = 2, anchor = rollout_log_prob)", |sheet| {
        sheet.tokens(|at| {
            let moved = sheet.x[at] - sheet.get("rollout_log_prob", at);
            -sheet.advantage(at) * sheet.x[at] + moved.powi(2)
        })
    });
}

#[test]
fn topr_truncates_the_ratio_of_samples_that_failed() {
    for (args, positive, negative) in [("", 1.0, 1.0), ("positive = 0.5, negative = 2", 0.5, 2.0)] {
        judge(&format!("topr({args})"), |sheet| {
            sheet.tokens(|at| {
                let scored = sheet.case.rewards[at / sheet.case.width] > 0.0;
                let weight = if scored { positive } else { negative * sheet.held_ratio(at).min(1.0) };
                -weight * sheet.advantage(at) * sheet.x[at]
            })
        });
    }
}

#[test]
fn three_policies_weight_the_clipped_surrogate_by_what_sampled() {
    judge("decoupled_ppo(cap = 1.3, high = 0.28)", |sheet| {
        sheet.tokens(|at| {
            let weight = (sheet.get("old_log_prob", at) - sheet.get("rollout_log_prob", at)).exp().min(1.3);
            let (a, r) = (sheet.advantage(at), ratio(sheet, at, 20.0));
            weight * (-a * r).max(-a * r.clamp(0.8, 1.28))
        })
    });
}

#[test]
fn prime_rl_keeps_a_region_around_the_inference_engine() {
    judge("prime_rl(low = 0.05, high = 0.1, pull = 0.5)", |sheet| {
        sheet.tokens(|at| {
            let u = sheet.get("rollout_log_prob", at);
            let moved = sheet.held[at].exp() - u.exp();
            let keeps = if sheet.advantage(at) > 0.0 { moved <= 0.1 } else { moved >= -0.05 };
            let d = sheet.x[at] - u;
            -truth(keeps) * sheet.advantage(at) * d.exp() + 0.5 * d.powi(2)
        })
    });
}
