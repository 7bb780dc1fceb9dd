//! Surrogates on the ratio of whole sequences.

use crate::judge::{Sheet, judge, mean, sum};

/// The larger of the free and the clipped loss.
fn clipped(advantage: f64, ratio: f64, low: f64, high: f64) -> f64 {
    (-advantage * ratio).max(-advantage * ratio.clamp(1.0 - low, 1.0 + high))
}

/// The mean log-ratio of a token's sequence, not above the guard.
fn level(sheet: &Sheet<'_>, at: usize, guard: f64) -> f64 {
    mean(&sheet.row_of(at), |at| sheet.moved(at)).min(guard)
}

#[test]
fn gspo_has_one_ratio_per_sequence() {
    for (args, low, high, guard) in [
        ("low = 0.2, high = 0.28", 0.2, 0.28, 10.0),
        ("", 3e-4, 4e-4, 10.0),
        ("low = 0.1, high = 9, guard = 0.05", 0.1, 9.0, 0.05),
    ] {
        judge(&format!("gspo({args})"), |sheet| {
            sheet.tokens(|at| clipped(sheet.advantage(at), level(sheet, at, guard).exp(), low, high))
        });
        judge(&format!("gspo({args}).ratio"), |sheet| sheet.tokens(|at| level(sheet, at, guard).exp()));
        judge(&format!("gspo({args}).clipped"), |sheet| {
            sheet.tokens(|at| {
                let (a, s) = (sheet.advantage(at), level(sheet, at, guard).exp());
                f64::from(-a * s.clamp(1.0 - low, 1.0 + high) > -a * s)
            })
        });
    }
}

#[test]
fn the_token_form_of_gspo_sends_the_gradient_to_the_token_itself() {
    judge("gspo(level = \"token\", low = 0.2, high = 0.28)", |sheet| {
        sheet.tokens(|at| {
            let held = Sheet { x: sheet.held, ..*sheet };
            let ratio = level(&held, at, 10.0).exp() * (sheet.x[at] - sheet.held[at]).exp();
            clipped(sheet.advantage(at), ratio, 0.2, 0.28)
        })
    });
}

#[test]
fn with_one_advantage_a_sequence_both_forms_of_gspo_are_the_same() {
    let spec = |level| {
        format!("seq_mean_token_mean(gspo(level = \"{level}\", high = 0.5, low = 0.5, advantages = rewards))")
    };
    let difference = |sheet: &Sheet<'_>| {
        let rows = (0..sheet.case.sequences).filter(|row| sheet.case.is_valid(*row)).count().max(1) as f64;
        let of = |row: &[usize]| {
            let advantage = sheet.case.rewards[row[0] / sheet.case.width];
            clipped(advantage, level(sheet, row[0], 10.0).exp(), 0.5, 0.5) / rows
        };
        vec![sheet.sequences(of).iter().sum()]
    };
    judge(&spec("sequence"), difference);
    judge(&spec("token"), difference);
}

/// 1 or -1, and undefined where there is no advantage, as at every masked position.
const UNDEFINED_WHERE_MASKED: &str = "advantages = advantages / abs(advantages)";

#[test]
fn an_advantage_that_is_undefined_at_masked_positions_does_no_harm() {
    let sign = |sheet: &Sheet<'_>, at: usize| sheet.advantage(at).signum();
    judge(&format!("gspo(low = 0.2, high = 0.28, {UNDEFINED_WHERE_MASKED})"), |sheet| {
        sheet.tokens(|at| clipped(sign(sheet, at), level(sheet, at, 10.0).exp(), 0.2, 0.28))
    });
    judge(&format!("gmpo(low = 9, high = 9, {UNDEFINED_WHERE_MASKED})"), |sheet| {
        sheet.sequences(|row| -mean(row, |at| sign(sheet, at)) * mean(row, |at| sheet.moved(at)).exp())
    });
    judge(&format!("clip_cov({UNDEFINED_WHERE_MASKED}).covariance"), |sheet| {
        let all = sheet.all();
        let (advantage, x) = (mean(&all, |at| sign(sheet, at)), mean(&all, |at| sheet.x[at]));
        sheet.tokens(|at| (sign(sheet, at) - advantage) * (sheet.x[at] - x))
    });
    judge(&format!("rloo_clip(low = 1, high = 99, {UNDEFINED_WHERE_MASKED})"), |sheet| {
        sheet.sequences(|row| -mean(row, |at| sign(sheet, at)) * sum(row, |at| sheet.moved(at)).exp())
    });
}

#[test]
fn gmpo_is_the_mean_advantage_times_the_geometric_mean_of_clipped_ratios() {
    for (args, low, high, guard) in [
        ("low = 0.2, high = 0.28", 0.2, 0.28, 20.0),
        ("", 0.4, 0.4, 20.0),
        ("low = 9, high = 9, guard = 0.3", 9.0, 9.0, 0.3),
    ] {
        let log_ratio = move |sheet: &Sheet<'_>, at: usize| sheet.moved(at).clamp(-guard, guard);
        let kept = move |sheet: &Sheet<'_>, at: usize| {
            let (sign, d) = (signum(sheet.advantage(at)), log_ratio(sheet, at));
            sign * (sign * d).min(sign * d.clamp(-low, high))
        };
        judge(&format!("gmpo({args})"), |sheet| {
            sheet
                .sequences(|row| -mean(row, |at| sheet.advantage(at)) * mean(row, |at| kept(sheet, at)).exp())
        });
        judge(&format!("gmpo({args}).ratio"), |sheet| {
            sheet.sequences(|row| mean(row, |at| kept(sheet, at)).exp())
        });
        judge(&format!("gmpo({args}).clipped"), |sheet| {
            sheet.tokens(|at| {
                let (a, d) = (sheet.advantage(at), log_ratio(sheet, at));
                f64::from((a > 0.0 && d > high) || (a < 0.0 && d < -low))
            })
        });
    }
}

/// Zero for zero, unlike `f64::signum`.
fn signum(x: f64) -> f64 {
    if x.abs() > 0.0 { x.signum() } else { 0.0 }
}

#[test]
fn luspo_weights_sequences_by_their_length() {
    judge("luspo(low = 0.2, high = 0.28)", |sheet| {
        let rows = (0..sheet.case.sequences).filter(|row| sheet.case.is_valid(*row)).count().max(1) as f64;
        let all = sheet.all();
        let of = |at: usize| clipped(sheet.advantage(at), level(sheet, at, 10.0).exp(), 0.2, 0.28);
        vec![sum(&all, of) / rows]
    });
}

#[test]
fn the_sequence_loss_of_rloo_clips_the_product_of_ratios() {
    for (args, low, high) in [("", 0.2, 0.2), ("low = 0.5, high = 1", 0.5, 1.0)] {
        judge(&format!("rloo_clip({args})"), |sheet| {
            sheet.sequences(|row| {
                let product = sum(row, |at| sheet.moved(at)).exp();
                clipped(mean(row, |at| sheet.advantage(at)), product, low, high)
            })
        });
    }
}

/// The smooth weight of a sequence, with the inference engine's ratio in it or not.
fn vespo_weight(sheet: &Sheet<'_>, at: usize, k: f64, lam: f64, mismatch: bool) -> f64 {
    let least = 1e-8_f64.ln();
    let of = |at: usize| {
        let own = (sheet.held[at] - sheet.get("old_log_prob", at)).clamp(-20.0, 20.0);
        let other = sheet.get("old_log_prob", at) - sheet.get("rollout_log_prob", at);
        own + if mismatch { other.clamp(least, 20.0) } else { 0.0 }
    };
    let w = sum(&sheet.row_of(at), of).clamp(least, 20.0);
    (lam + k * w - lam * w.exp()).exp()
}

#[test]
fn vespo_weights_sequences_smoothly_by_their_product_of_ratios() {
    for (args, mismatch) in [("", false), ("mismatch = old_log_prob - rollout_log_prob", true)] {
        judge(&format!("vespo({args})"), |sheet| {
            sheet.tokens(|at| {
                let (k, lam) = if sheet.advantage(at) >= 0.0 { (2.0, 3.0) } else { (3.0, 2.0) };
                -vespo_weight(sheet, at, k, lam, mismatch) * sheet.advantage(at) * sheet.x[at]
            })
        });
    }
}
