//! What this crate adds, checked against its formulas and by the suite for plugins.

use aent::testing::{Case, Extent, conformance, rough, sample};
use aent::{Options, Session, compile};
use aent_plugin_template as _;
use tch::{Device, Kind};

#[test]
fn tail_mass_conforms() {
    conformance("template::tail_mass");
}

#[test]
fn step_conforms() {
    conformance("template::step");
}

#[test]
fn tail_mass_is_what_the_likeliest_tokens_leave() {
    for case in sample(&rough(Extent::default()), 60) {
        for k in [1, 3, 64] {
            let text = format!("let tail = template::tail_mass(k = {k})\nloss = token_mean(log_prob + tail)");
            let session =
                Session::with(compile(&text).unwrap(), Options { lets: true, ..Options::default() });
            let output = session.forward(&case.leaves(Kind::Double, Device::Cpu).batch).unwrap();
            let found = output.lets().next().unwrap().1.to_f64s().unwrap();
            for at in (0..case.mask.len()).filter(|at| case.mask[*at]) {
                let expected = tail_mass(&case, at, k);
                assert!((found[at] - expected).abs() < 1e-12, "expected {expected}, found {}", found[at]);
            }
        }
    }
}

#[test]
fn step_follows_the_published_trajectory() {
    let text = "controller c = template::step(signal = token_mean(entropy()), target = 0.2)
                loss = token_mean(log_prob) - c * token_mean(entropy())";
    let program = compile(text).unwrap();
    let rule = program.controllers[0].object.value.as_ref();
    let mut state = rule.start();
    for (signal, expected) in [(0.1, 0.005), (0.1, 0.01), (0.3, 0.005), (0.2, 0.01), (0.5, 0.005)] {
        state = rule.observe(&state, Some(signal));
        assert!((state.value - expected).abs() < 1e-15, "expected {expected}, found {}", state.value);
    }
}

fn tail_mass(case: &Case, at: usize, k: usize) -> f64 {
    let mut logits = case.logits[at * case.vocabulary..][..case.vocabulary].to_vec();
    logits.sort_by(|a, b| b.total_cmp(a));
    let p = |logit: &f64| (logit - logits[0]).exp();
    let tail: f64 = logits.iter().skip(k).map(p).sum();
    tail / logits.iter().map(p).sum::<f64>()
}
