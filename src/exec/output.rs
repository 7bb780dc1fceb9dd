//! What a step gives.

use super::error::{Error, Result};
use super::part::UncheckedIds;
use super::setup::Setup;
use super::tally::Count;
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
    /// By name, where the program has several.
    pub(super) losses: Vec<(String, Tensor)>,
    /// By assertion: whether it holds, and what it compares.
    pub(super) assertions: Vec<(Tensor, Option<Tensor>)>,
    pub(super) metrics: Vec<(String, Tensor)>,
    /// By controller; none where it takes no signal.
    pub(super) signals: Vec<(String, Option<Tensor>)>,
    pub(super) lets: Vec<(String, Tensor)>,
    /// How many tokens the step had.
    pub(super) tokens: Count,
    /// The ids that were not checked: they make the numbers NaN where they are not in the vocabulary.
    pub(super) unchecked: Vec<UncheckedIds>,
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

    /// The losses by name, each a scalar under autograd as [`Output::loss`] is; empty where the loss has no name. Their sum
    /// is the loss. Where several read the logits, add them up before the backward pass, or keep the graph for the next.
    pub fn losses(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.losses.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The losses by name as numbers; empty where the loss has no name.
    pub fn totals(&self) -> Result<BTreeMap<String, f64>> {
        let tensors: Vec<&Tensor> = self.losses.iter().map(|(_, tensor)| tensor).collect();
        let values = self.numbers(&tensors)?;
        Ok(self.losses.iter().map(|(name, _)| name.clone()).zip(values).collect())
    }

    /// What each `assert` that does not hold says, with what was expected and found.
    pub fn findings(&self) -> Result<Vec<String>> {
        let assertions = &self.of.program.assertions;
        let scalars =
            self.assertions.iter().flat_map(|(holds, compared)| std::iter::once(holds).chain(compared));
        let mut numbers = self.numbers(&scalars.collect::<Vec<_>>())?.into_iter();
        let mut findings = Vec::new();
        for (assertion, (_, compared)) in assertions.iter().zip(&self.assertions) {
            let holds = numbers.next().is_some_and(|holds| holds != 0.0);
            let compared = compared.as_ref().and_then(|_| numbers.next());
            if !holds {
                let found = compared.map(|found| format!(", found {found}")).unwrap_or_default();
                let place = self.of.program.place_of(assertion.span).map(|place| format!(", {place}"));
                findings.push(format!(
                    "{}: expected `{}`{found}{}",
                    assertion.message,
                    assertion.formula,
                    place.unwrap_or_default()
                ));
            }
        }
        Ok(findings)
    }

    /// The `metric`s by name.
    pub fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let tensors: Vec<&Tensor> = self.metrics.iter().map(|(_, tensor)| tensor).collect();
        let values = self.numbers(&tensors)?;
        Ok(self.metrics.iter().map(|(name, _)| name.clone()).zip(values).collect())
    }

    /// The observed signals by controller; controllers that take none are left out.
    pub fn signals(&self) -> Result<BTreeMap<String, f64>> {
        let present = self.signals.iter().filter_map(|(name, signal)| Some((name, signal.as_ref()?)));
        let (names, tensors): (Vec<&String>, Vec<&Tensor>) = present.unzip();
        let values = self.numbers(&tensors)?;
        Ok(names.into_iter().cloned().zip(values).collect())
    }

    /// Every `let` by name, zero where masked; only with [`super::Options::lets`].
    pub fn lets(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.lets.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Every scalar: the losses, assertions, metrics, signals and `let`s.
    pub(super) fn scalars(&self) -> Result<Vec<f64>> {
        let losses = self.losses.iter().map(|(_, loss)| loss);
        let asserted = self.assertions.iter().flat_map(|(holds, found)| std::iter::once(holds).chain(found));
        let metrics = self.metrics.iter().map(|(_, metric)| metric);
        let signals = self.signals.iter().filter_map(|(_, signal)| signal.as_ref());
        let lets = self.lets.iter().map(|(_, value)| value).filter(|value| value.dim() == 0);
        let all = std::iter::once(&self.loss).chain(losses).chain(asserted).chain(metrics);
        self.numbers(&all.chain(signals).chain(lets).collect::<Vec<_>>())
    }

    /// The same with other scalars, in the same order.
    pub(super) fn with_scalars(mut self, scalars: &[f64]) -> Self {
        let losses = self.losses.iter_mut().map(|(_, loss)| loss);
        let asserted = self.assertions.iter_mut();
        let asserted = asserted.flat_map(|(holds, found)| std::iter::once(holds).chain(found));
        let metrics = self.metrics.iter_mut().map(|(_, metric)| metric);
        let signals = self.signals.iter_mut().filter_map(|(_, signal)| signal.as_mut());
        let lets = self.lets.iter_mut().map(|(_, value)| value).filter(|value| value.dim() == 0);
        let all = std::iter::once(&mut self.loss).chain(losses).chain(asserted).chain(metrics);
        for (old, new) in all.chain(signals).chain(lets).zip(scalars) {
            *old = old.full(&[], *new, old.dtype());
        }
        self
    }

    /// How many valid tokens the step had.
    pub fn tokens(&self) -> Result<i64> {
        self.tokens.number()
    }

    /// The loss as a number; waits for the device.
    pub fn total(&self) -> Result<f64> {
        Ok(self.numbers(&[&self.loss])?[0])
    }

    /// Whether reading a number may find an action id that is not in the vocabulary.
    pub(super) fn has_unchecked_ids(&self) -> bool {
        !self.unchecked.is_empty()
    }

    /// Brings scalars to the host, all at once. Where one is NaN because of an action id, the error names that.
    fn numbers(&self, tensors: &[&Tensor]) -> Result<Vec<f64>> {
        let values = numbers(tensors)?;
        if values.iter().any(|value| value.is_nan()) {
            self.unchecked.iter().try_for_each(UncheckedIds::check)?;
        }
        Ok(values)
    }
}

/// One part's share of the loss.
#[derive(Debug)]
pub struct PartOutput {
    pub(super) loss: Tensor,
    pub(super) losses: Vec<(String, Tensor)>,
}

impl PartOutput {
    /// The share, a scalar under autograd.
    pub fn loss(&self) -> &Tensor {
        &self.loss
    }

    /// The part's shares of the losses by name; empty for a program with one loss.
    pub fn losses(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.losses.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The same times a number.
    pub(super) fn scaled(self, scale: f64) -> Result<Self> {
        if scale.to_bits() == 1f64.to_bits() {
            return Ok(self);
        }
        self.each(|loss| Ok((loss * scale).ok()?))
    }

    /// The same of each loss.
    pub(super) fn each(self, of: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let losses = self.losses.into_iter().map(|(name, loss)| Ok((name, of(&loss)?)));
        Ok(Self { loss: of(&self.loss)?, losses: losses.collect::<Result<_>>()? })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::setup::Options;
    use crate::host::Libtorch;

    /// The output of a step whose loss is `loss`, with action ids that nobody has checked.
    fn output(loss: f64, actions: &[i64]) -> Output {
        let program = crate::compile("loss = -token_mean(log_prob)").unwrap();
        let actions = Tensor::from_slice(&Libtorch, actions, &[1, actions.len() as i64]);
        let mask = actions.ge(0i64);
        Output {
            of: Arc::new(Setup::new(program, Options::default())),
            loss: Tensor::from_slice(&Libtorch, &[loss], &[]),
            losses: Vec::new(),
            assertions: Vec::new(),
            metrics: Vec::new(),
            signals: Vec::new(),
            lets: Vec::new(),
            tokens: Count::Known(1),
            unchecked: vec![UncheckedIds { actions, mask, vocabulary: 5, first_row: 2 }],
            observed: AtomicBool::new(false),
        }
    }

    #[test]
    fn a_loss_that_an_id_made_nan_names_the_id_where_it_is_read() {
        let error = output(f64::NAN, &[4, 5, -1]).total().unwrap_err().to_string();
        assert_eq!(error, "`actions` at [2, 1]: expected a token id in 0 .. 4, found 5");
    }

    #[test]
    fn a_loss_that_is_nan_for_another_reason_is_read_as_nan() {
        assert!(output(f64::NAN, &[4, 0, -1]).total().unwrap().is_nan());
        assert!((output(0.5, &[4, 5, -1]).total().unwrap() - 0.5).abs() < 1e-12);
    }
}
