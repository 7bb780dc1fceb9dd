//! Estimators of the divergence from a reference: straight through, weighted by a ratio, in the reward.

use crate::judge::{Sheet, judge, sum};

/// The logarithm of reference over policy.
fn gap(sheet: &Sheet<'_>, x: &[f64], at: usize) -> f64 {
    sheet.get("ref_log_prob", at) - x[at]
}

fn k3(e: f64) -> f64 {
    e.exp() - e - 1.0
}

#[test]
fn the_library_has_the_estimators_as_functions() {
    judge("k1(ref_log_prob)", |sheet| sheet.tokens(|at| -gap(sheet, sheet.x, at)));
    judge("k2(rollout_log_prob)", |sheet| {
        sheet.tokens(|at| (sheet.get("rollout_log_prob", at) - sheet.x[at]).powi(2) / 2.0)
    });
    judge("k3(ref_log_prob)", |sheet| sheet.tokens(|at| k3(gap(sheet, sheet.x, at))));
}

#[test]
fn straight_through_estimators_have_the_value_of_one_and_the_gradient_of_another() {
    for (name, base) in [("k1+", (|e| -e) as fn(f64) -> f64), ("k3+", k3), ("abs+", f64::abs)] {
        judge(&format!("kl(estimator = \"{name}\")"), |sheet| {
            sheet.tokens(|at| {
                let (e, held) = (gap(sheet, sheet.x, at), gap(sheet, sheet.held, at));
                base(held) + (e.powi(2) - held.powi(2)) / 2.0
            })
        });
    }
    judge("straight_through(k3(ref_log_prob), k2(ref_log_prob))", |sheet| {
        sheet.tokens(|at| {
            let (e, held) = (gap(sheet, sheet.x, at), gap(sheet, sheet.held, at));
            k3(held) + (e.powi(2) - held.powi(2)) / 2.0
        })
    });
}

#[test]
fn clamps_of_a_straight_through_estimator_bind_its_value_alone() {
    judge("kl(estimator = \"k3+\", input_clamp = 0.2, output_clamp = 0.01)", |sheet| {
        sheet.tokens(|at| {
            let (e, held) = (gap(sheet, sheet.x, at), gap(sheet, sheet.held, at));
            k3(held.clamp(-0.2, 0.2)).min(0.01) + (e.powi(2) - held.powi(2)) / 2.0
        })
    });
}

#[test]
fn a_corrected_divergence_is_weighted_by_the_ratio_with_gradient_through_both() {
    judge("ratio_corrected(kl(output_clamp = 1e9))", |sheet| {
        sheet.tokens(|at| sheet.moved(at).exp() * k3(gap(sheet, sheet.x, at)))
    });
    judge("ratio_corrected(log_prob, guard = 0.2)", |sheet| {
        sheet.tokens(|at| sheet.moved(at).clamp(-0.2, 0.2).exp() * sheet.x[at])
    });
    judge("ratio_corrected(kl(estimator = \"k2\"), anchor = rollout_log_prob)", |sheet| {
        sheet.tokens(|at| {
            let moved = sheet.x[at] - sheet.get("rollout_log_prob", at);
            moved.exp() * gap(sheet, sheet.x, at).powi(2) / 2.0
        })
    });
}

#[test]
fn a_divergence_in_the_reward_is_that_of_the_old_policy_and_has_no_gradient() {
    let gap = |sheet: &Sheet<'_>, at: usize| sheet.get("ref_log_prob", at) - sheet.get("old_log_prob", at);
    judge("kl_in_reward(0.1)", |sheet| {
        sheet.sequences(|row| {
            sheet.case.rewards[row[0] / sheet.case.width] + 0.1 * sum(row, |at| gap(sheet, at))
        })
    });
    judge("kl_in_reward(beta = 2, rewards = 1, estimator = \"k3\")", |sheet| {
        sheet.sequences(|row| 1.0 - 2.0 * sum(row, |at| k3(gap(sheet, at))))
    });
}
