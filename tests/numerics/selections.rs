//! Terms that choose tokens across the whole step.

use crate::judge::{Sheet, judge, judge_where, mean};
use crate::reference::{logp, per_token};
use crate::values;
use aent::testing::{Case, Extent, rough, sample, smooth};

/// Per token, of log-probabilities that are held constant or not.
fn covariance(sheet: &Sheet<'_>, x: &[f64]) -> Vec<f64> {
    let all = sheet.all();
    let (mean_advantage, mean_x) = (mean(&all, |at| sheet.advantage(at)), mean(&all, |at| x[at]));
    sheet.tokens(|at| (sheet.advantage(at) - mean_advantage) * (x[at] - mean_x))
}

#[test]
fn the_covariance_is_taken_around_the_means_of_the_step() {
    judge("advantage_covariance()", |sheet| covariance(sheet, sheet.held));
    judge("clip_cov().covariance", |sheet| covariance(sheet, sheet.x));
}

/// Whether no two covariances are so near that rounding decides which is larger, as those of two tokens always are.
fn untied(case: &Case) -> bool {
    let x = per_token(case, |at| logp(case, at));
    let sheet = Sheet { case, x: &x, held: &x };
    let (cov, all) = (covariance(&sheet, &x), sheet.all());
    all.iter().all(|a| all.iter().all(|b| a == b || (cov[*a] - cov[*b]).abs() > 1e-6))
}

#[test]
fn kl_cov_penalises_the_largest_covariances() {
    for (args, share, coef) in [("share = 30%, coef = 0.5", 0.3, 0.5), ("", 2e-4, 1.0)] {
        judge_where(untied, &format!("kl_cov({args})"), |sheet| {
            let cov = covariance(sheet, sheet.held);
            let mut order = sheet.all();
            order.sort_by(|a, b| cov[*b].total_cmp(&cov[*a]));
            order.truncate(((share * order.len() as f64).floor() as usize).max(1));
            sheet.tokens(|at| {
                let penalty = if order.contains(&at) { coef * sheet.moved(at).abs() } else { 0.0 };
                -sheet.advantage(at) * sheet.moved(at).exp() + penalty
            })
        });
    }
}

#[test]
fn without_a_candidate_clip_cov_is_the_clipped_surrogate() {
    judge("clip_cov(bounds = 1e6 .. 1e7, high = 0.28)", |sheet| {
        sheet.tokens(|at| {
            let (a, r) = (sheet.advantage(at), sheet.moved(at).exp());
            (-a * r).max(-a * r.clamp(0.8, 1.28))
        })
    });
}

/// Whether a token may be chosen, and the loss that it has otherwise.
fn candidates(case: &Case, lo: f64, hi: f64) -> (Vec<bool>, Vec<f64>) {
    let x = per_token(case, |at| logp(case, at));
    let sheet = Sheet { case, x: &x, held: &x };
    let cov = covariance(&sheet, &x);
    let losses = |at: usize| {
        let (a, r) = (sheet.advantage(at), sheet.moved(at).exp());
        (-a * r, -a * r.clamp(0.8, 1.2))
    };
    let may = (0..x.len()).map(|at| {
        let (free, bounded) = losses(at);
        case.mask[at] && bounded <= free && lo < cov[at] && cov[at] < hi
    });
    (may.collect(), sheet.tokens(|at| losses(at).0.max(losses(at).1)))
}

fn wide_cases() -> Vec<Case> {
    let extent = Extent { sequences: 1..=6, width: 1..=8, vocabulary: 2..=9 };
    [sample(&smooth(extent.clone()), 40), sample(&rough(extent), 80)].concat()
}

#[test]
fn clip_cov_zeroes_as_many_candidates_as_it_may_and_nothing_else() {
    let (loss, chosen) = ["", ".chosen"]
        .map(|extra| values(&format!("clip_cov(share = 20%, bounds = 0.05 .. 2){extra}")))
        .into();
    let mut some = 0;
    for case in wide_cases() {
        let (may, expected) = candidates(&case, 0.05, 2.0);
        let tokens = case.mask.iter().filter(|counts| **counts).count();
        let wanted = ((0.2 * tokens as f64).floor() as usize).max(1);
        let number = wanted.min(may.iter().filter(|may| **may).count());
        let chosen: Vec<bool> = chosen(&case).iter().map(|chosen| *chosen > 0.5).collect();
        assert_eq!(chosen.iter().filter(|chosen| **chosen).count(), number);
        assert!(chosen.iter().zip(&may).all(|(chosen, may)| *may || !*chosen));
        let loss = loss(&case);
        let left: Vec<f64> = per_token(&case, |at| if chosen[at] { 0.0 } else { expected[at] });
        crate::assert_near(&per_token(&case, |at| loss[at]), &left, 1e-11, "clip_cov");
        some += number;
    }
    assert!(some > 60, "only {some} tokens were chosen");
}

#[test]
fn what_clip_cov_chooses_has_no_gradient() {
    // With every candidate chosen there is nothing left to chance.
    judge("clip_cov(share = 1, bounds = 0.05 .. 2)", |sheet| {
        let (may, _) = candidates(sheet.case, 0.05, 2.0);
        sheet.tokens(|at| {
            let (a, r) = (sheet.advantage(at), sheet.moved(at).exp());
            if may[at] { 0.0 } else { (-a * r).max(-a * r.clamp(0.8, 1.2)) }
        })
    });
}

#[test]
fn clip_cov_chooses_alike_again_and_otherwise_with_another_seed() {
    let chosen = |seed| values(&format!("clip_cov(share = 20%, bounds = 0.001 .. 9, seed = {seed}).chosen"));
    let (first, again, other) = (chosen(0), chosen(0), chosen(1));
    let cases = wide_cases();
    assert!(cases.iter().all(|case| first(case) == again(case)));
    let differ = cases.iter().filter(|case| first(case) != other(case)).count();
    assert!(differ > 10, "only {differ} choices differ");
}

/// Sixteen tokens with one and the same covariance, of which one is chosen, and `others` that may not be.
fn alike(others: usize) -> Case {
    let mut case = sample(&smooth(Extent::exactly(3, 8, 5)), 1).remove(0);
    let sign = |at: usize| match at {
        16.. => 0.0,
        at if at.is_multiple_of(2) => 1.0,
        _ => -1.0,
    };
    case.mask = (0..24).map(|at| at < 16 + others).collect();
    case.logits.fill(0.0);
    for at in 0..24 {
        case.logits[at * 5 + case.actions[at] as usize] = sign(at);
    }
    let old = vec![-(5f64.ln()); 24];
    case.with_token("advantages", (0..24).map(sign).collect()).with_token("old_log_prob", old)
}

/// The one token that is chosen.
fn choice(seed: u64, case: &Case) -> usize {
    let chosen = values(&format!(
        "clip_cov(share = 0.01, bounds = 0.1 .. 9, low = 1, high = 99, seed = {seed}).chosen"
    ));
    let chosen = chosen(case);
    let places: Vec<usize> = (0..24).filter(|at| chosen[*at] > 0.5).collect();
    assert_eq!(places.len(), 1, "{chosen:?}");
    places[0]
}

#[test]
fn clip_cov_chooses_every_place_now_and_then() {
    let case = alike(0);
    let mut seen = [0; 16];
    for seed in 0..40 {
        seen[choice(seed, &case)] += 1;
    }
    assert!(seen.iter().filter(|times| **times > 0).count() >= 10, "{seen:?}");
    assert!(seen.iter().all(|times| *times <= 9), "{seen:?}");
}

#[test]
fn clip_cov_chooses_otherwise_in_a_step_of_another_size() {
    let places: std::collections::BTreeSet<usize> = (0..=8).map(|others| choice(0, &alike(others))).collect();
    assert!(places.len() >= 4, "{places:?}");
}

#[test]
fn m2po_drops_the_stalest_tokens_until_the_rest_is_fresh() {
    for threshold in [0.04, 0.2, 1e-9] {
        judge(&format!("m2po_kept(threshold = {threshold})"), |sheet| {
            let stale =
                |at: usize| (sheet.get("old_log_prob", at) - sheet.get("rollout_log_prob", at)).powi(2);
            let mut left = sheet.all();
            while left.len() > 1 && mean(&left, stale) >= threshold {
                let most =
                    (0..left.len()).max_by(|a, b| stale(left[*a]).total_cmp(&stale(left[*b]))).unwrap();
                left.remove(most);
            }
            sheet.tokens(|at| f64::from(left.contains(&at)))
        });
    }
}
