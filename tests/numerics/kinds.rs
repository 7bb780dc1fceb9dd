//! The same formulas from f32, bf16 and f16 logits, judged by f64 on the same rounded numbers.

use crate::session;
use aent::testing::{Extent, Outcome, distance, sample, smooth};
use tch::Kind;

const SPEC: &str = "
    let policy  = clip_ppo(high = 0.28, dual = 3)
    let clamped = clamped_entropy(drop = 30%)
    loss = token_mean(policy) + 0.1 * seq_mean_token_mean(kl()) - 0.05 * token_mean(clamped)
         + token_mean(clip_value())
    metric full    = token_mean(entropy())
    metric ratio   = token_mean(policy.ratio)";

#[test]
fn values_are_those_of_f64_and_gradients_have_the_digits_of_their_kind() {
    let cases = sample(&smooth(Extent { vocabulary: 2..=40, ..Extent::default() }), 60);
    // One unit in the last place of each kind, twice over.
    for (kind, digits) in [(Kind::Float, 1e-6), (Kind::BFloat16, 2.0 / 256.0), (Kind::Half, 2.0 / 2048.0)] {
        for case in &cases {
            let case = case.rounded(kind);
            let exact = Outcome::of(&session(SPEC), &case, Kind::Double).unwrap();
            let found = Outcome::of(&session(SPEC), &case, kind).unwrap();
            let numbers = |of: &Outcome| [vec![of.loss], of.metrics.values().copied().collect()].concat();
            let gap = distance(&numbers(&found), &numbers(&exact));
            assert!(gap <= 1e-5, "{kind:?}: values are off by {gap}");
            for (found, exact) in found.logits_gradient.iter().zip(&exact.logits_gradient) {
                let gap = (found - exact).abs();
                assert!(gap <= digits * exact.abs() + 1e-6, "{kind:?}: gradient {found} instead of {exact}");
            }
        }
    }
}
