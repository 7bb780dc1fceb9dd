//! Divergences from several references in one file, against f64 from their formulas, one token after the other.

use crate::reference::{per_token, row};
use crate::{assert_fused_is_plain, assert_near, named, numbers, session};
use aent::testing::{Case, Extent, gradient_matches_differences, rough, sample, smooth};
use aent::{Batch, Options, Session, compile};
use tch::{Device, Kind, Tensor};

/// A formula in the language, and the same in f64.
type Spec = (&'static str, fn(&Case, usize) -> f64);

const SPECS: [Spec; 6] = [
    ("forward_kl(of = math)", |case, at| kl(&math(case, at, 1.0), &policy(case, at, 1.0))),
    ("reverse_kl(of = math, temperature = 0.7)", |case, at| kl(&policy(case, at, 0.7), &math(case, at, 0.7))),
    ("jensen_shannon(beta = 0.3, of = math)", |case, at| {
        mixed(0.3, &policy(case, at, 1.0), &math(case, at, 1.0))
    }),
    // The same temperature, so that only the reference tells the passes apart.
    ("forward_kl() + 2 * forward_kl(of = math)", |case, at| {
        let policy = policy(case, at, 1.0);
        kl(&reference(case, at, 1.0), &policy) + 2.0 * kl(&math(case, at, 1.0), &policy)
    }),
    ("jensen_shannon(beta = 0.3, of = math) - 0.5 * jensen_shannon(beta = 0.6)", |case, at| {
        let policy = policy(case, at, 1.0);
        mixed(0.3, &policy, &math(case, at, 1.0)) - 0.5 * mixed(0.6, &policy, &reference(case, at, 1.0))
    }),
    ("reverse_kl() * reverse_kl(of = math) + clamped_entropy(top_k = 2)", |case, at| {
        let policy = policy(case, at, 1.0);
        let entropy = crate::reference::entropy(row(case, at), crate::reference::Set::TopK(2));
        kl(&policy, &reference(case, at, 1.0)) * kl(&policy, &math(case, at, 1.0)) + entropy
    }),
];

fn softmax(z: &[f64], temperature: f64) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = z.iter().map(|z| ((z - top) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn policy(case: &Case, at: usize, temperature: f64) -> Vec<f64> {
    softmax(row(case, at), temperature)
}

fn reference(case: &Case, at: usize, temperature: f64) -> Vec<f64> {
    softmax(&case.ref_logits[at * case.vocabulary..][..case.vocabulary], temperature)
}

fn math(case: &Case, at: usize, temperature: f64) -> Vec<f64> {
    softmax(&case.math()[at * case.vocabulary..][..case.vocabulary], temperature)
}

/// `Σ p ln(p / q)`.
fn kl(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| if *p > 0.0 { p * (p / q).ln() } else { 0.0 }).sum()
}

fn mixed(beta: f64, policy: &[f64], reference: &[f64]) -> f64 {
    let both = policy.iter().zip(reference);
    let mixture: Vec<f64> = both.map(|(pi, rho)| beta * rho + (1.0 - beta) * pi).collect();
    beta * kl(reference, &mixture) + (1.0 - beta) * kl(policy, &mixture)
}

fn program(value: &str) -> String {
    format!("input math: logits\nlet value = {value}\nloss = token_mean(value) + token_mean(entropy())")
}

#[test]
fn every_divergence_is_that_of_its_reference() {
    let mut cases = sample(&smooth(Extent::default()), 40);
    // Logits thousands apart make divergences of thousands, in which no absolute tolerance holds.
    cases.extend(sample(&rough(Extent::default()), 80));
    let mut judged = 0;
    for (expr, formula) in SPECS {
        let session = session(&program(expr));
        for case in &cases {
            let expected = per_token(case, |at| formula(case, at));
            if expected.iter().any(|value| !value.is_finite() || value.abs() > 100.0) {
                continue;
            }
            judged += 1;
            let batch = case.poisoned().leaves(Kind::Double, Device::Cpu).batch;
            let output = session.forward(&batch).unwrap_or_else(|error| panic!("{error}"));
            assert_near(&numbers(named(&output, "value")), &expected, 1e-7, expr);
        }
    }
    assert!(judged > 60 * SPECS.len(), "too few cases are plain: {judged}");
}

#[test]
fn every_divergence_has_the_gradient_of_its_value() {
    for (expr, _) in SPECS {
        let session = session(&program(expr));
        for case in sample(&smooth(Extent { sequences: 1..=3, width: 1..=3, vocabulary: 6..=9 }), 8) {
            gradient_matches_differences(&session, &case).unwrap_or_else(|error| panic!("{expr}: {error}"));
        }
    }
}

#[test]
fn fused_kernels_find_what_plain_operations_do_in_every_kind() {
    let cases = sample(&smooth(Extent::exactly(2, 3, 40)), 3);
    for (expr, _) in SPECS {
        assert_fused_is_plain(&program(expr), &cases, expr);
    }
}

/// With the identity as the output layer, hidden states are the logits.
#[test]
fn each_reference_may_come_as_hidden_states() {
    let text = program(SPECS[4].0);
    let wide = (Kind::Double, Device::Cpu);
    for case in sample(&smooth(Extent::exactly(3, 4, 9)), 4) {
        let leaves = case.leaves(Kind::Double, Device::Cpu);
        let output = session(&text).forward(&leaves.batch).unwrap();
        output.backward().unwrap();
        for (given, [hidden, layer]) in [
            ("math", ["math_hidden", "math_lm_head"]),
            ("ref_logits", ["ref_hidden", "ref_lm_head"]),
            ("logits", ["hidden", "lm_head"]),
        ] {
            let states = leaves.batch.get(given).unwrap().tch().unwrap().detach().copy();
            let states = states.set_requires_grad(given == "logits");
            let rest = leaves.batch.iter().filter(|(name, _)| *name != given);
            let batch = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.detach()));
            let logits = leaves.logits.detach().copy().set_requires_grad(given != "logits");
            let batch = if given == "logits" { batch } else { batch.with("logits", logits.shallow_clone()) };
            let batch = batch.with(hidden, states.shallow_clone()).with(layer, Tensor::eye(9, wide));
            let options = Options { chunk_bytes: 2 * 8 * 9, ..Options::default() };
            let found = Session::with(compile(&text).unwrap(), options).forward(&batch).unwrap();
            found.backward().unwrap();
            assert_near(&numbers(found.loss()), &numbers(output.loss()), 1e-12, given);
            let leaf = if given == "logits" { states } else { logits };
            assert_near(&numbers(leaf.grad()), &numbers(leaves.logits.grad()), 1e-12, given);
        }
    }
}

#[test]
fn a_reference_that_is_missing_or_carries_gradient_is_refused_by_its_name() {
    let case = sample(&smooth(Extent::exactly(1, 2, 6)), 1).remove(0);
    let leaves = case.leaves(Kind::Double, Device::Cpu);
    let session = session(&program("forward_kl(of = math)"));
    let refused = |batch: &Batch| session.forward(batch).unwrap_err().to_string();
    let rest = leaves.batch.iter().filter(|(name, _)| *name != "math");
    let rest = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
    let missing = refused(&rest);
    assert!(
        missing.contains("`math`, which this program needs: expected float logits `[B, T, V]`")
            && missing.contains("or `math_hidden` with `math_lm_head`"),
        "{missing}"
    );
    let leaf = Tensor::zeros([1, 2, 6], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let trained = refused(&leaves.batch.with("math", leaf));
    assert!(trained.contains("`math`") && trained.contains("requires no gradient"), "{trained}");
    let narrow = Tensor::zeros([1, 2, 5], (Kind::Double, Device::Cpu));
    let leaves = case.leaves(Kind::Double, Device::Cpu);
    let narrow = refused(&leaves.batch.with("math", narrow));
    assert!(narrow.contains("`math`") && narrow.contains("[1, 2, 6]"), "{narrow}");
}
