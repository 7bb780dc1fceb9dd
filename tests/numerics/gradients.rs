//! Gradients of whole losses against finite differences, and of entropies against their closed form.

use crate::reference::{Set, entropy_gradient, row};
use crate::{assert_near, session};
use aent::testing::{Extent, Outcome, gradient_matches_differences, rough, sample, smooth};
use tch::Kind;

#[test]
fn a_whole_loss_has_the_gradient_of_its_value() {
    let aent = session(
        "set temperature = 0.7
         let policy  = clip_ppo(low = 0.2, high = 0.28, dual = 3)
         let clamped = clamped_entropy(drop = 30%)
         controller beta = band(signal = token_mean(clamped), target = 0.1 .. 0.5, bounds = 0 .. 1, init = 0.3)
         loss = token_mean(policy) - beta * token_mean(clamped)",
    );
    let sequences = session(
        "let ratio = exp(seq_mean(log_prob - old_log_prob))
         let centred = seq_sum(kl(estimator = \"k2\")) - group_mean(seq_sum(kl(estimator = \"k2\")))
         loss = batch_mean(ratio * rewards) + batch_mean(centred ^ 2) + seq_mean_token_mean(clip_value())
              + batch_mean(group_std(seq_mean(entropy())))",
    );
    for case in sample(&smooth(Extent { sequences: 1..=4, width: 1..=3, vocabulary: 2..=5 }), 12) {
        gradient_matches_differences(&aent, &case).unwrap();
        gradient_matches_differences(&sequences, &case).unwrap();
    }
}

#[test]
fn entropies_have_the_gradient_of_their_closed_form() {
    for (expr, set) in [
        ("entropy()", Set::All),
        ("clamped_entropy(drop = 30%)", Set::Drop(0.3)),
        ("clamped_entropy(top_k = 3)", Set::TopK(3)),
        ("clamped_entropy(top_p = 90%)", Set::TopP(0.9)),
        ("clamped_entropy(min_p = 5%)", Set::MinP(0.05)),
    ] {
        let session = session(&format!("loss = token_sum({expr})"));
        for case in sample(&rough(Extent::default()), 80) {
            let found = Outcome::of(&session, &case, Kind::Double).unwrap().logits_gradient;
            let expected: Vec<f64> = (0..case.mask.len())
                .flat_map(|at| {
                    let zero = || vec![0.0; case.vocabulary];
                    if case.mask[at] { entropy_gradient(row(&case, at), set) } else { zero() }
                })
                .collect();
            assert_near(&found, &expected, 1e-12, expr);
        }
    }
}
