//! Policies so far apart that a ratio overflows: every loss and every gradient stays finite, in f32 too.

use crate::judge::LIBRARY;
use crate::session;
use aent::testing::{Case, Extent, Outcome, sample, smooth};
use tch::Kind;

const LOSSES: [&str; 36] = [
    "clip_ppo()",
    "clip_ppo(dual = 3)",
    "clip_ppo(delta = 3)",
    "gspo()",
    "gspo(level = \"token\")",
    "cispo(bounds = 0 .. 5)",
    "gmpo()",
    "dppo()",
    "dppo(divergence = \"kl\")",
    "gppo(dual = 3)",
    "clip_cov(share = 30%)",
    "kl()",
    "kl(estimator = \"k1+\")",
    "kl(estimator = \"k3+\")",
    "ratio_corrected(kl())",
    "reinforce()",
    "decoupled_ppo()",
    "sapo()",
    "luspo()",
    "rloo_clip()",
    "vespo()",
    "vespo(mismatch = old_log_prob - rollout_log_prob)",
    "dro(0.1)",
    "topr()",
    "kl_cov(share = 30%)",
    "prime_rl()",
    "sppo()",
    "gvpo(1)",
    "flowrl(log_z = 0, beta = 1)",
    "sequence_tis() * log_prob",
    "batch_normalised(token_tis()) * icepop() * log_prob",
    "vtrace() * log_prob",
    "vtrace(rho_bar = 1e6, c_bar = 1e6, lam = 0.9).returns * log_prob",
    "seq_std(log_prob - old_log_prob)",
    "reverse_cumsum(clip_ppo(), discount = 0.9) + cumsum(kl())",
    "where(accepted(level = \"seq_max\", bounds = 0.5 .. 2), geometric_mask() * log_prob, 0)",
];

/// Log-ratios of 1000 in both directions, alone in a sequence and next to one another, for either sign of the advantage.
fn far_apart() -> Case {
    let mut case = sample(&smooth(Extent::exactly(6, 2, 2)), 1).remove(0);
    case.mask.fill(true);
    let likely = [true, true, false, false, true, false, true, true, false, false, true, false];
    case.actions.fill(0);
    case.logits =
        likely.iter().flat_map(|likely| if *likely { [1000.0, 0.0] } else { [0.0, 1000.0] }).collect();
    let other = |likely: &bool| if *likely { -1000.0 } else { 0.0 };
    for name in ["old_log_prob", "ref_log_prob", "rollout_log_prob"] {
        case = case.with_token(name, likely.iter().map(other).collect());
    }
    case.with_token("advantages", (0..12).map(|at| if at < 6 { 1.0 } else { -1.0 }).collect())
}

#[test]
fn losses_of_policies_far_apart_are_finite() {
    let case = far_apart();
    for expr in LOSSES {
        // What is one per sequence, or one alone, stands for each of its tokens.
        let session = session(&format!("{LIBRARY}\nlet value = {expr}\nloss = token_mean(value)"));
        for kind in [Kind::Float, Kind::Double] {
            let outcome = Outcome::of(&session, &case, kind).unwrap();
            assert!(outcome.numbers().all(f64::is_finite), "{expr} in {kind:?}: {outcome:?}");
        }
    }
}

#[test]
fn weights_of_policies_far_apart_are_finite() {
    // The engine's policy is moved away from the old one, too.
    let case = far_apart();
    let moved = case.token("old_log_prob").iter().map(|old| -1000.0 - old).collect();
    let case = case.with_token("rollout_log_prob", moved);
    for expr in [
        "token_tis(cap = 1e6)",
        "sequence_tis(cap = 1e6)",
        "icepop(high = 1e6)",
        "geometric_ratio()",
        "batch_normalised(token_tis())",
    ] {
        let session = session(&format!("{LIBRARY}\nloss = token_mean({expr} * log_prob)"));
        let outcome = Outcome::of(&session, &case, Kind::Float).unwrap();
        assert!(outcome.numbers().all(f64::is_finite), "{expr}: {outcome:?}");
    }
}
