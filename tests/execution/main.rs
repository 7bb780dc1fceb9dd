//! The executor: what it refuses and how it says so, kinds and masks, plugins that misbehave, steps in parts and over ranks.

#![expect(clippy::unwrap_used, reason = "what is unwrapped here is under test")]
#![expect(clippy::float_cmp, reason = "zeros, halves and equal computations are exact")]

mod declared;
mod diagnose;
mod hidden;
mod log_probs;
mod losses;
mod misbehave;
mod moving;
mod nonfinite;
mod packed;
mod parts;
mod ranks;
mod refused;
mod results;
mod strange;

use aent::tensor::Tensor as Handle;
use aent::{Batch, Session, compile};
use tch::{Kind, Tensor};

/// Sequences, tokens and words of the batch below.
const SIZE: [i64; 3] = [2, 3, 4];

/// The clipped surrogate written out by hand.
const PPO: &str = "
    let ratio = exp(log_prob - old_log_prob)
    loss = token_mean(max(-advantages * ratio, -advantages * clamp(ratio, 0.8, 1.2)))";

#[track_caller]
fn session(text: &str) -> Session {
    Session::new(compile(text).unwrap_or_else(|failure| panic!("{failure}\nin\n{text}")))
}

/// Logits that are a leaf, other than those of another seed.
fn logits(seed: i64, kind: Kind) -> Tensor {
    let count: i64 = SIZE.iter().product();
    let numbers: Vec<f64> =
        (0..count).map(|at| (((at * 37 + seed * 11) % 23) as f64).mul_add(0.2, -2.0)).collect();
    Tensor::from_slice(&numbers).to_kind(kind).view(SIZE).set_requires_grad(true)
}

/// Two sequences of three tokens, of which the last two of the second do not count.
fn batch(logits: &Tensor) -> Batch {
    let wide = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let token = |numbers: [f64; 6]| Tensor::from_slice(&numbers).to_kind(wide).view([2, 3]);
    Batch::new()
        .with("logits", logits.shallow_clone())
        .with("actions", Tensor::from_slice(&[0i64, 3, 1, 2, 2, 0]).view([2, 3]))
        .with("response_mask", Tensor::from_slice(&[true, true, true, true, false, false]).view([2, 3]))
        .with("old_log_prob", token([-1.5, -0.9, -2.0, -1.1, -1.0, -3.0]))
        .with("advantages", token([1.0, -0.5, 0.25, -2.0, 1.0, 1.0]))
        .with("rewards", Tensor::from_slice(&[1.0, 0.0]).to_kind(wide))
        .with("group", Tensor::from_slice(&[7i64, 7]))
}

fn plain() -> Batch {
    batch(&logits(0, Kind::Float))
}

/// The batch without a field.
fn without(name: &str) -> Batch {
    let batch = plain();
    let kept = batch.iter().filter(|(of, _)| *of != name);
    kept.fold(Batch::new(), |kept, (name, tensor)| kept.with(name, tensor))
}

/// A field of a batch as the tensor of tch that it is.
fn field(batch: &Batch, name: &str) -> Tensor {
    batch.get(name).unwrap().tch().unwrap()
}

fn number(tensor: impl Into<Handle>) -> f64 {
    tensor.into().f64_at(&[]).unwrap()
}

fn numbers(tensor: impl Into<Handle>) -> Vec<f64> {
    tensor.into().to_f64s().unwrap()
}

/// Asserts that an error says all of these words.
#[track_caller]
fn assert_says(error: &aent::Error, words: &[&str]) {
    let sentence = error.to_string();
    for word in words {
        assert!(sentence.contains(word), "expected `{word}` in: {sentence}");
    }
    assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{sentence}");
}
