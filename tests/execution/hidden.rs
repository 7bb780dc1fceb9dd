//! Specs whose batch brings hidden states and the output layer instead of logits.

use crate::{assert_says, batch, number, numbers, session};
use aent::tensor::DType;
use aent::testing::on_ranks;
use aent::{Batch, Head, Options, Order, SequenceShards, Session, compile};
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

/// A head of the policy and one of the reference, and the logits that the policy's makes.
fn with_heads(layer: &[Tensor; 3]) -> (Batch, Tensor) {
    let [hidden, weight, bias] = layer;
    let logits = (hidden.linear(weight, Some(bias)) * (0.7 / 1.5)).tanh() * 1.5;
    let kept = replaced(layer).0;
    let kept = kept.iter().filter(|(name, _)| *name != "ref_logits");
    let batch = kept.fold(Batch::new(), |kept, (name, tensor)| kept.with(name, tensor));
    let batch = batch
        .with("ref_hidden", hidden.detach().flip([1]))
        .with("ref_lm_head", weight.detach())
        .with_head("hidden", Head { softcap: Some(1.5), scale: 0.7, dtype: None })
        .with_head("ref_hidden", Head { softcap: Some(1.0), scale: 3.0, dtype: None });
    (batch, logits)
}

/// The reference's logits for [`with_heads`].
fn their_logits([hidden, weight, _]: &[Tensor; 3]) -> Tensor {
    (hidden.detach().flip([1]).linear::<&Tensor>(&weight.detach(), None) * 3.0).tanh()
}

#[test]
fn a_head_goes_with_the_batch_into_parts_rows_and_packed_tokens() {
    let [whole, given, cut, of_rows, tokens] = [(); 5].map(|()| layer());
    let session = session(SPEC);
    let logits = with_heads(&whole).1;
    let batch = others(&logits).with("logits", logits).with("ref_logits", their_logits(&whole));
    let expected = session.forward(&batch).unwrap();
    expected.backward().unwrap();
    let (expected, of_whole) = (number(expected.loss()), gradients(&whole));

    let found = session.forward(&with_heads(&given).0).unwrap();
    found.backward().unwrap();
    assert_same(&[number(found.loss())], &[expected]);
    assert_same(&gradients(&given), &of_whole);

    let mut step = session.accumulate();
    let parts = with_heads(&cut).0.split(2).unwrap();
    for part in &parts {
        step.measure(part).unwrap();
    }
    for part in &parts {
        step.forward(part).unwrap().backward().unwrap();
    }
    assert_same(&[number(step.finish().unwrap().loss())], &[expected]);
    assert_same(&gradients(&cut), &of_whole);

    let batch = with_heads(&of_rows).0;
    let rows = session.rows(&batch).unwrap();
    let rest = batch.iter().filter(|(name, _)| !name.contains("hidden") && !name.contains("lm_head"));
    let rest = rest.fold(Batch::new().with("rows", rows), |rest, (name, tensor)| rest.with(name, tensor));
    let found = session.forward(&rest).unwrap();
    found.backward().unwrap();
    assert_same(&[number(found.loss())], &[expected]);
    assert_same(&gradients(&of_rows), &of_whole);

    // Both sequences one behind the other; the numbers of a sequence stay one for each.
    let batch = with_heads(&tokens).0;
    let packed = batch.iter().fold(Batch::new(), |packed, (name, tensor)| {
        let size = tensor.size();
        let flat = if size.starts_with(&[2, 3]) { tensor.flatten(0, 1) } else { tensor.clone() };
        packed.with(name, flat)
    });
    let packed = packed
        .with("cu_seqlens", Tensor::from_slice(&[0i64, 3, 6]))
        .with_head("hidden", batch.head("hidden"))
        .with_head("ref_hidden", batch.head("ref_hidden"));
    let found = session.forward(&packed).unwrap();
    found.backward().unwrap();
    assert_same(&[number(found.loss())], &[expected]);
    assert_same(&gradients(&tokens), &of_whole);
    let parts = packed.split(2).unwrap();
    assert!(parts.iter().all(|part| part.head("ref_hidden") == batch.head("ref_hidden")));
}

#[test]
fn a_head_goes_with_the_tokens_of_each_shard_of_a_sequence() {
    let whole = layer();
    let expected = session(SPEC).forward(&with_heads(&whole).0).unwrap();
    expected.backward().unwrap();
    let found = on_ranks(3, |group| {
        let layer = layer();
        let batch = with_heads(&layer).0;
        let heads = ["hidden", "ref_hidden"].map(|name| (name, batch.head(name)));
        let own = batch.iter().fold(Batch::new(), |own, (name, tensor)| {
            let of_tokens = tensor.size().starts_with(&[2, 3]);
            own.with(name, if of_tokens { tensor.narrow(1, group.rank() as i64, 1) } else { tensor.clone() })
        });
        let own = heads.into_iter().fold(own, |own, (name, head)| own.with_head(name, head));
        let shards = SequenceShards::new(group, Order::Contiguous);
        let (share, output) = session(SPEC).forward_shards(&own, shards, None).unwrap();
        share.backward().unwrap();
        (number(output.loss()), gradients(&layer))
    });
    for (loss, _) in &found {
        assert_same(&[*loss], &[number(expected.loss())]);
    }
    let sum = |a: Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a + b).collect();
    let of_all = found.iter().map(|(_, gradient)| gradient).fold(vec![0.0; gradients(&whole).len()], sum);
    assert_same(&of_all, &gradients(&whole));
}

#[test]
fn a_head_that_cannot_be_used_is_refused_by_name() {
    let layer = layer();
    let refused = |batch: &Batch| session(SPEC).forward(batch).unwrap_err();
    let scale = |scale| Head { scale, ..Head::default() };
    let error = refused(&with_heads(&layer).0.with_head("ref_hidden", scale(0.0)));
    assert_says(&error, &["`ref_logit_scale`", "a finite number above 0", "found 0"]);
    let (batch, logits) = replaced(&layer);
    let of_logits = others(&logits).with("logits", logits).with_head("hidden", scale(2.0));
    assert_says(&refused(&of_logits), &["`logit_scale`", "`hidden` with `lm_head`", "found `logits`"]);
    let kind = Head { dtype: Some(DType::F32), ..Head::default() };
    let rows = session(SPEC).rows(&batch).unwrap();
    let rest = ["old_log_prob", "advantages", "response_mask"];
    let rest = rest.map(|name| (name, batch.get(name).unwrap()));
    let rest = rest.into_iter().fold(Batch::new(), |rest, (name, tensor)| rest.with(name, tensor));
    let with_rows = rest.with("rows", rows).with_head("hidden", kind);
    assert_says(&refused(&with_rows), &["`head_dtype`", "`hidden` with `lm_head`", "found `rows`"]);
    let in_shards = on_ranks(2, |group| {
        let own = Batch::new()
            .with("response_mask", Tensor::ones([2, 3], (Kind::Bool, Device::Cpu)))
            .with("rows", Tensor::zeros([2, 3, 9], (Kind::Double, Device::Cpu)))
            .with_head("hidden", Head { dtype: Some(DType::F32), ..Head::default() });
        let shards = SequenceShards::new(group, Order::Contiguous);
        session(SPEC).forward_shards(&own, shards, None).unwrap_err()
    });
    for error in &in_shards {
        assert_says(error, &["`head_dtype`", "`hidden` with `lm_head`", "found `rows`"]);
    }
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
