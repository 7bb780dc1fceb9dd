//! Terms on generated batches.

use crate::reference::{self, Clip, Set, logp, per_token, row};
use crate::{assert_near, values};
use aent::testing::{Case, Extent, rough, sample, smooth};

fn cases() -> Vec<Case> {
    let mut cases = sample(&smooth(Extent::default()), 40);
    cases.extend(sample(&rough(Extent::default()), 80));
    cases
}

#[test]
fn log_prob_is_the_log_softmax_at_the_action() {
    for expr in ["log_prob()", "log_prob"] {
        let found = values(expr);
        for case in cases() {
            assert_near(&found(&case), &per_token(&case, |at| logp(&case, at)), 1e-12, expr);
        }
    }
}

#[test]
fn entropies_are_those_of_the_softmax_on_the_set() {
    let specs = [
        ("entropy()", Set::All),
        ("clamped_entropy(drop = 0)", Set::All),
        ("clamped_entropy(drop = 30%)", Set::Drop(0.3)),
        ("clamped_entropy(drop = 85%)", Set::Drop(0.85)),
        ("clamped_entropy(top_k = 1)", Set::TopK(1)),
        ("clamped_entropy(top_k = 3)", Set::TopK(3)),
        ("clamped_entropy(top_k = 100)", Set::TopK(100)),
        ("clamped_entropy(top_p = 90%)", Set::TopP(0.9)),
        ("clamped_entropy(min_p = 5%)", Set::MinP(0.05)),
    ];
    for (expr, set) in specs {
        let found = values(expr);
        for case in cases() {
            let expected = per_token(&case, |at| reference::entropy(row(&case, at), set));
            assert_near(&found(&case), &expected, 1e-12, expr);
        }
    }
}

#[test]
fn the_clipped_surrogate_is_its_formula_with_every_argument() {
    let plain = Clip { low: 0.2, high: 0.2, dual: None, delta: None, guard: 20.0 };
    let specs = [
        ("", plain),
        ("low = 0.1, high = 0.28", Clip { low: 0.1, high: 0.28, ..plain }),
        ("low = 1, high = 5", Clip { low: 1.0, high: 5.0, ..plain }),
        ("dual = 1.3", Clip { dual: Some(1.3), ..plain }),
        ("delta = 1.25", Clip { delta: Some(1.25), ..plain }),
        ("dual = 1.5, delta = 1.3", Clip { dual: Some(1.5), delta: Some(1.3), ..plain }),
        ("high = 2, guard = 0.3", Clip { high: 2.0, guard: 0.3, ..plain }),
    ];
    for (args, clip) in specs {
        for (which, extra) in ["", ".ratio", ".clipped", ".capped"].into_iter().enumerate() {
            let expr = format!("clip_ppo({args}){extra}");
            let found = values(&expr);
            for case in cases() {
                let expected = per_token(&case, |at| {
                    let (old, advantage) = (case.token("old_log_prob")[at], case.token("advantages")[at]);
                    reference::clip_ppo(clip, logp(&case, at), old, advantage)[which]
                });
                assert_near(&found(&case), &expected, 1e-11, &expr);
            }
        }
    }
}

#[test]
fn a_log_ratio_beyond_the_guard_stays_finite() {
    let mut case = sample(&smooth(Extent::exactly(1, 2, 4)), 1).remove(0);
    case.mask.fill(true);
    let case = case.with_token("old_log_prob", vec![-1000.0, 0.0]).with_token("advantages", vec![-1.0, -1.0]);
    let ratio = values("clip_ppo().ratio")(&case);
    assert_near(&ratio, &[20f64.exp(), logp(&case, 1).exp()], 1e-12, "ratio");
}

#[test]
fn divergence_estimators_are_their_formulas() {
    for estimator in ["k1", "k2", "k3", "abs"] {
        let expr = format!("kl(estimator = \"{estimator}\")");
        let found = values(&expr);
        for case in cases() {
            let log_ratio = |at: usize| case.token("ref_log_prob")[at] - logp(&case, at);
            let expected = per_token(&case, |at| reference::kl(estimator, log_ratio(at)));
            assert_near(&found(&case), &expected, 1e-11, &expr);
        }
    }
}

#[test]
fn divergence_clamps_bind_where_they_are_said_to() {
    let mut case = sample(&smooth(Extent::exactly(1, 3, 4)), 1).remove(0);
    case.mask.fill(true);
    let shifts = [-30.0, 3.0, 30.0];
    // Low enough that the reference's log-probabilities are at most 0.
    let policy = -40.0;
    let reference = shifts.iter().map(|shift| policy + shift).collect();
    let case = case.with_token("log_prob", vec![policy; 3]).with_token("ref_log_prob", reference);
    let k3 = |e: f64| e.exp() - e - 1.0;
    let specs = [
        ("kl()", [10.0, 10.0, 10.0]),
        ("kl(output_clamp = 100)", [k3(-20.0), k3(3.0), 100.0]),
        ("kl(output_clamp = 1e9)", [k3(-20.0), k3(3.0), k3(20.0)]),
        ("kl(input_clamp = 1, output_clamp = 5)", [k3(-1.0), k3(1.0), k3(1.0)]),
        ("kl(estimator = \"k1\")", [30.0, -3.0, -30.0]),
        ("kl(estimator = \"k1\", output_clamp = 10)", [10.0, -3.0, -10.0]),
        ("kl(estimator = \"k2\", input_clamp = 2)", [2.0, 2.0, 2.0]),
        ("kl(estimator = \"abs\")", [30.0, 3.0, 30.0]),
    ];
    for (expr, expected) in specs {
        assert_near(&values(expr)(&case), &expected, 1e-11, expr);
    }
}

#[test]
fn the_value_loss_is_its_formula() {
    for clip in [0.1, 0.5, 1e9] {
        for (which, extra) in ["", ".clipped"].into_iter().enumerate() {
            let expr = format!("clip_value(clip = {clip}){extra}");
            let found = values(&expr);
            for case in cases() {
                let expected = per_token(&case, |at| {
                    let [value, old, target] =
                        ["values", "old_values", "returns"].map(|name| case.token(name)[at]);
                    reference::clip_value(clip, value, old, target)[which]
                });
                assert_near(&found(&case), &expected, 1e-12, &expr);
            }
        }
    }
}

#[test]
fn written_out_by_hand_the_surrogate_is_the_same() {
    let by_hand = values(
        "max(-advantages * exp(log_prob - old_log_prob), \
             -advantages * clamp(exp(log_prob - old_log_prob), 0.8, 1.2))",
    );
    let found = values("clip_ppo()");
    for case in cases() {
        assert_near(&found(&case), &by_hand(&case), 1e-14, "clip_ppo()");
    }
}
