//! Specs whose batch brings hidden states and the output layer instead of logits.

use crate::{assert_says, batch, number, numbers, session};
use aent::{Batch, Options, Session, compile};
use tch::{Device, Kind, Tensor};

/// Everything that is read of logits: the action, a set, and the distance from a reference.
const SPEC: &str = "
    let policy = clip_ppo()
    loss = token_mean(policy) - 0.01 * token_mean(clamped_entropy(top_k = 3)) + 0.1 * token_mean(reverse_kl())
    metric far = token_mean(jensen_shannon())";

/// Hidden states of the batch's two sequences, an output layer for its four words, and a bias: all leaves.
fn layer() -> [Tensor; 3] {
    let leaf = |size: &[i64], by: f64| {
        let ids = Tensor::arange(size.iter().product::<i64>(), (Kind::Double, Device::Cpu));
        (ids * by).sin().view(size).set_requires_grad(true)
    };
    [leaf(&[2, 3, 5], 1.7), leaf(&[4, 5], 0.9), leaf(&[4], 2.3)]
}

fn others(logits: &Tensor) -> Batch {
    let batch = batch(logits).with("ref_logits", logits.detach().flip([2]));
    let kept = batch.iter().filter(|(name, _)| *name != "logits");
    kept.fold(Batch::new(), |kept, (name, tensor)| kept.with(name, tensor))
}

/// The batch with the layer in place of logits, and the logits that it makes.
fn replaced([hidden, weight, bias]: &[Tensor; 3]) -> (Batch, Tensor) {
    let logits = hidden.linear(weight, Some(bias));
    let batch = others(&logits)
        .with("hidden", hidden.shallow_clone())
        .with("lm_head", weight.shallow_clone())
        .with("lm_head_bias", bias.shallow_clone());
    (batch, logits)
}

fn gradients(layer: &[Tensor; 3]) -> Vec<f64> {
    layer.iter().flat_map(|leaf| numbers(leaf.grad())).collect()
}

fn assert_same(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "expected {expected}, found {found}");
    }
}

#[test]
fn a_spec_gives_the_same_from_hidden_states_in_one_batch_and_in_parts() {
    let [whole, given, cut] = [(); 3].map(|()| layer());
    let session = session(SPEC);
    let (_, logits) = replaced(&whole);
    let expected = session.forward(&others(&logits).with("logits", logits)).unwrap();
    expected.backward().unwrap();
    let (batch, _) = replaced(&given);
    let small = Options { chunk_bytes: 1, ..Options::default() };
    let found = Session::with(compile(SPEC).unwrap(), small).forward(&batch).unwrap();
    found.backward().unwrap();
    assert_same(&gradients(&given), &gradients(&whole));
    assert_same(&[number(found.loss())], &[number(expected.loss())]);
    assert_eq!(found.metrics().unwrap().keys().collect::<Vec<_>>(), ["far"]);
    let parts = replaced(&cut).0.split(2).unwrap();
    let mut step = session.accumulate();
    for part in &parts {
        step.measure(part).unwrap();
    }
    for part in &parts {
        step.forward(part).unwrap().backward().unwrap();
    }
    assert_same(&gradients(&cut), &gradients(&whole));
    assert_same(&[number(step.finish().unwrap().loss())], &[number(expected.loss())]);
}

#[test]
fn an_output_layer_as_high_as_the_batch_is_not_cut() {
    let layer = layer();
    let [hidden, weight, _] = &layer;
    let two_words = weight.narrow(0, 0, 2);
    let batch = Batch::new()
        .with("hidden", hidden.shallow_clone())
        .with("lm_head", two_words.shallow_clone())
        .with("response_mask", Tensor::ones([2, 3], (Kind::Bool, Device::Cpu)));
    let parts = batch.split(2).unwrap();
    assert_eq!(parts[1].get("lm_head").unwrap().size(), [2, 5]);
    assert_eq!(parts[1].get("hidden").unwrap().size(), [1, 3, 5]);
}

#[test]
fn what_is_missing_or_given_twice_is_refused_by_name() {
    let layer = layer();
    let (batch, logits) = replaced(&layer);
    let refused = |batch: &Batch| session(SPEC).forward(batch).unwrap_err();
    assert_says(&refused(&others(&logits)), &["`logits`", "[B, T, V]", "`hidden` with `lm_head`"]);
    let both = replaced(&layer).0.with("logits", logits.shallow_clone());
    assert_says(&refused(&both), &["`hidden`", "either `logits` or `hidden`", "both"]);
    let narrow = replaced(&layer).0.with("hidden", layer[0].narrow(2, 0, 4));
    assert_says(&refused(&narrow), &["`lm_head`", "[V, 4]", "[4, 5]"]);
    let short = replaced(&layer).0.with("hidden", layer[0].narrow(1, 0, 2));
    assert_says(&refused(&short), &["`hidden`", "[2, 3, D]", "[2, 2, 5]"]);
    let without = |name: &str| {
        let kept = batch.iter().filter(|(of, _)| *of != name);
        kept.fold(Batch::new(), |kept, (name, tensor)| kept.with(name, tensor))
    };
    assert_says(&refused(&without("lm_head")), &["`lm_head`", "the output layer"]);
    let error = refused(&without("ref_logits"));
    assert_says(&error, &["`ref_logits`", "reverse_kl", "`ref_hidden` with `ref_lm_head`"]);
}
