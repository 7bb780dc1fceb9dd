//! The rivals of AEnt on the synthetic task: how their coefficients move, and the gradient that follows.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

mod two_contexts;

use std::path::Path;

use aent::{Compiler, Session};
use tch::Tensor;
use two_contexts::{SAMPLES, batch};

/// Far enough for central differences, and no further.
const STEP: f64 = 1e-5;
/// Two contexts of six actions.
const POLICY: [f64; 12] = [0.1, -0.4, 1.2, 0.3, -2.0, 0.8, 0.5, 0.6, -0.7, -1.0, 0.2, 2.0];

fn session(name: &str, params: &[(&str, f64)]) -> Session {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/sparse_mdp/{name}.aent"));
    let compiler = params.iter().fold(Compiler::new(), |compiler, (name, value)| compiler.set(*name, *value));
    Session::new(compiler.compile_file(file).unwrap())
}

/// A step on the policy: the controllers observe it, and the gradient is given.
fn step(session: &mut Session) -> Vec<f64> {
    let leaf = Tensor::from_slice(&POLICY).reshape([2, 6]).set_requires_grad(true);
    let output = session.forward(&batch(&leaf)).unwrap();
    output.backward().unwrap();
    session.update(&output).unwrap();
    Vec::try_from(leaf.grad().reshape([12])).unwrap()
}

fn log_prob(row: &[f64]) -> Vec<f64> {
    let total: f64 = row.iter().map(|logit| logit.exp()).sum();
    row.iter().map(|logit| logit - total.ln()).collect()
}

fn entropy(row: &[f64]) -> f64 {
    log_prob(row).iter().map(|log_prob| -log_prob.exp() * log_prob).sum()
}

/// The mean entropy of the two contexts.
fn mean_entropy() -> f64 {
    f64::midpoint(entropy(&POLICY[..6]), entropy(&POLICY[6..]))
}

/// Asserts that a gradient is that of the sampled policy gradient plus `term`, by central differences.
fn is_gradient_of(found: &[f64], name: &str, term: impl Fn(&[f64]) -> f64) {
    let loss = |policy: &[f64]| {
        let sampled: f64 = SAMPLES
            .iter()
            .map(|(action, advantage)| -advantage * log_prob(&policy[..6])[*action as usize])
            .sum();
        sampled + term(policy)
    };
    for place in 0..12 {
        let moved = |by: f64| {
            let mut policy = POLICY;
            policy[place] += by;
            loss(&policy)
        };
        let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        assert!((found[place] - expected).abs() < 1e-9, "{name}: {}, not {expected}", found[place]);
    }
}

fn both(policy: &[f64], of_context: impl Fn(&[f64]) -> f64) -> f64 {
    of_context(&policy[..6]) + of_context(&policy[6..])
}

#[test]
fn the_renyi_bonus_is_minus_the_logarithm_of_the_chance_to_draw_an_action_twice() {
    let found = step(&mut session("renyi_bonus", &[("coef", 0.3)]));
    is_gradient_of(&found, "renyi_bonus", |policy| {
        0.3 * both(policy, |row| {
            log_prob(row).iter().map(|log_prob| (2.0 * log_prob).exp()).sum::<f64>().ln()
        })
    });
}

#[test]
fn skywork_steps_up_while_the_entropy_is_low_and_pays_nothing_while_it_is_high() {
    let mut low = session("skywork_or1", &[("target", 2.0), ("step", 0.1), ("most", 0.15)]);
    is_gradient_of(&step(&mut low), "before the first observation", |_| 0.0);
    assert!((low.coefficients()["beta"] - 0.1).abs() < 1e-12);
    is_gradient_of(&step(&mut low), "after it", |policy| -0.1 * both(policy, entropy));
    // The second step would lead past the bound.
    assert!((low.coefficients()["beta"] - 0.15).abs() < 1e-12);
    let mut high = session("skywork_or1", &[("target", mean_entropy() - 0.1), ("step", 0.1)]);
    step(&mut high);
    is_gradient_of(&step(&mut high), "over the target", |_| 0.0);
}

#[test]
fn the_price_of_sac_grows_by_a_factor_of_what_is_missing() {
    let mut session = session("sac", &[("least", 2.5), ("rate", 0.5)]);
    is_gradient_of(&step(&mut session), "at first", |policy| -1e-3 * both(policy, entropy));
    let expected = 1e-3 * (0.5 * (2.5 - mean_entropy())).exp();
    assert!((session.coefficients()["alpha"] - expected).abs() < 1e-12);
    is_gradient_of(&step(&mut session), "then", |policy| -expected * both(policy, entropy));
}

#[test]
fn entropic_holds_likely_samples_back_while_the_entropy_is_low() {
    // The second sample's probability is 0.25, the first's 0.15: only one of them is likely.
    let goal = mean_entropy() + 0.5;
    let mut session = session("entropic", &[("goal", goal), ("likely", 0.2)]);
    is_gradient_of(&step(&mut session), "at first", |_| 0.0);
    let push = -(1.0 + 0.01) * 0.5;
    assert!((session.coefficients()["push"] - push).abs() < 1e-9);
    is_gradient_of(&step(&mut session), "then", |policy| -push * 0.25 * log_prob(&policy[..6])[5]);
}
