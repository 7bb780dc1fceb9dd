//! What a step gives.

use super::error::{Error, Result};
use super::frozen::Setup;
use super::whole::Count;
use crate::tensor::{DType, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The loss of a step with everything reported beside it. Numbers stay on the device until they are asked for.
#[derive(Debug)]
pub struct Output {
    /// Whose step it was.
    pub(super) of: Arc<Setup>,
    pub(super) loss: Tensor,
    pub(super) metrics: Vec<(String, Tensor)>,
    /// By controller; none where it takes no signal.
    pub(super) signals: Vec<(String, Option<Tensor>)>,
    pub(super) lets: Vec<(String, Tensor)>,
    /// How many tokens the step had.
    pub(super) tokens: Count,
    /// Whether a session has moved its controllers by it.
    pub(super) observed: AtomicBool,
}

impl Output {
    /// The loss, a scalar under autograd; of a step in parts or over many processes, without gradient.
    pub fn loss(&self) -> &Tensor {
        &self.loss
    }

    /// Adds the gradient of the loss to the leaves it was computed from.
    pub fn backward(&self) -> Result<()> {
        backward(&self.loss)
    }

    /// The `metric`s by name.
    pub fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let tensors: Vec<&Tensor> = self.metrics.iter().map(|(_, tensor)| tensor).collect();
        let values = numbers(&tensors)?;
        Ok(self.metrics.iter().map(|(name, _)| name.clone()).zip(values).collect())
    }

    /// The observed signals by controller; controllers that take none are left out.
    pub fn signals(&self) -> Result<BTreeMap<String, f64>> {
        let present = self.signals.iter().filter_map(|(name, signal)| Some((name, signal.as_ref()?)));
        let (names, tensors): (Vec<&String>, Vec<&Tensor>) = present.unzip();
        let values = numbers(&tensors)?;
        Ok(names.into_iter().cloned().zip(values).collect())
    }

    /// Every `let` by name, zero where masked; only with [`super::Options::lets`].
    pub fn lets(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.lets.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Every scalar: the loss, metrics, signals and `let`s.
    pub(super) fn scalars(&self) -> Result<Vec<f64>> {
        let metrics = self.metrics.iter().map(|(_, metric)| metric);
        let signals = self.signals.iter().filter_map(|(_, signal)| signal.as_ref());
        let lets = self.lets.iter().map(|(_, value)| value).filter(|value| value.dim() == 0);
        numbers(&std::iter::once(&self.loss).chain(metrics).chain(signals).chain(lets).collect::<Vec<_>>())
    }

    /// The same with other scalars, in the same order.
    pub(super) fn with_scalars(mut self, scalars: &[f64]) -> Self {
        let metrics = self.metrics.iter_mut().map(|(_, metric)| metric);
        let signals = self.signals.iter_mut().filter_map(|(_, signal)| signal.as_mut());
        let lets = self.lets.iter_mut().map(|(_, value)| value).filter(|value| value.dim() == 0);
        let all = std::iter::once(&mut self.loss).chain(metrics).chain(signals).chain(lets);
        for (old, new) in all.zip(scalars) {
            *old = old.full(&[], *new, old.dtype());
        }
        self
    }

    /// How many valid tokens the step had.
    pub fn tokens(&self) -> Result<i64> {
        self.tokens.number()
    }
}

/// One part's share of the loss.
#[derive(Debug)]
pub struct PartOutput {
    pub(super) loss: Tensor,
}

impl PartOutput {
    /// The share, a scalar under autograd.
    pub fn loss(&self) -> &Tensor {
        &self.loss
    }

    /// Adds the share's gradient to the leaves it was computed from.
    pub fn backward(&self) -> Result<()> {
        backward(&self.loss)
    }
}

fn backward(loss: &Tensor) -> Result<()> {
    if !loss.requires_grad() {
        return Err(Error::Step(
            "the loss has no gradient to give: neither `logits` nor any other field that it depends on requires one \
             (call `set_requires_grad(true)` on the leaf, and step outside of `no_grad`)"
                .to_owned(),
        ));
    }
    Ok(loss.backward()?)
}

/// Brings scalars to the host, all at once.
fn numbers(tensors: &[&Tensor]) -> Result<Vec<f64>> {
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    let wide: Vec<Tensor> = tensors.iter().map(|tensor| tensor.detach().to_dtype(DType::F64)).collect();
    Ok(Tensor::stack(&wide, 0).to_f64s()?)
}
