//! What the parts of a step have to know of the whole, and the share of the loss that each part gives.

use super::error::Result;
use super::evaluate::frame;
use super::frozen::Frozen;
use super::output::Output;
use super::part::Part;
use super::value::zero_unless;
use super::whole::Tally;
use crate::plan::FirstPass;
use crate::program::NodeId;
use std::collections::HashMap;
use tch::Tensor;

/// Values that span the step, by node.
pub(super) type Presets = HashMap<usize, Tensor>;

/// What the parts need to know of the whole step.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub presets: Presets,
    /// The loss's gradient for what comes from the model, when the loss is no sum over the parts.
    cotangents: Option<Cotangents>,
    /// What the step gives, when computing the gradient has told it.
    pub output: Option<Output>,
}

#[derive(Debug)]
struct Cotangents {
    log_prob: Option<Tensor>,
    rows: Vec<Tensor>,
    fields: Vec<(String, Tensor)>,
    loss: Tensor,
}

impl Frozen {
    /// Computes what the parts have to know; `whole` holds as much of the step as the plan wants to see first.
    pub(super) fn shared(&self, whole: Part, tally: &Tally) -> Result<Shared> {
        match self.plan().first_pass {
            FirstPass::Counts => Ok(Shared::default()),
            FirstPass::Fields => {
                let (nodes, wanted) = (self.plan().known_first(), self.plan().mask(|of| of.looked_first));
                let presets = self.spanning(&whole, tally, &nodes, &wanted, &Presets::new())?;
                Ok(Shared { presets, ..Shared::default() })
            }
            FirstPass::Model => self.differentiate(whole, tally),
        }
    }

    /// The values of `nodes` on the whole step, for which the `wanted` ones are computed.
    pub(super) fn spanning(
        &self,
        whole: &Part,
        tally: &Tally,
        nodes: &[usize],
        wanted: &[bool],
        known: &Presets,
    ) -> Result<Presets> {
        let _untracked = tch::no_grad_guard();
        let frame = frame(whole, tally.counts(whole)?)?;
        let values = self.evaluate(whole, &frame, known, wanted, false)?;
        let like = (whole.kind, whole.device());
        nodes.iter().map(|index| Ok((*index, values.tensor(NodeId(*index as u32), like)?))).collect()
    }

    /// The loss's gradient for every value that comes from the model, on the whole step.
    fn differentiate(&self, mut whole: Part, tally: &Tally) -> Result<Shared> {
        let leaf =
            |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_detach_copy()?.f_set_requires_grad(true)?) };
        whole.log_prob = whole.log_prob.as_ref().map(leaf).transpose()?;
        whole.rows = whole.rows.iter().map(leaf).collect::<Result<_>>()?;
        for (name, field) in &mut whole.fields {
            if crate::fields::find(name).is_some_and(|of| of.gradient) {
                *field = leaf(field)?;
            }
        }
        let frame = frame(&whole, tally.counts(&whole)?)?;
        let output = tch::with_grad(|| -> Result<Output> {
            let values =
                self.evaluate(&whole, &frame, &Presets::new(), &self.plan().mask(|of| of.needed), true)?;
            let output = self.output(&whole, &values, tally.tokens())?;
            output.backward()?;
            Ok(output)
        })?;
        let loss = output.loss.f_detach()?;
        // A leaf that the loss does not reach has no gradient, which is zero.
        let gradient = |tensor: &Tensor| -> Result<Tensor> {
            let gradient = tensor.f_grad()?;
            Ok(if gradient.defined() { gradient } else { tensor.f_zeros_like()? })
        };
        let fields = whole.fields.iter().filter(|(_, field)| field.requires_grad());
        let fields = fields.map(|(name, field)| Ok((name.clone(), gradient(field)?)));
        let cotangents = Cotangents {
            log_prob: whole.log_prob.as_ref().map(gradient).transpose()?,
            rows: whole.rows.iter().map(gradient).collect::<Result<_>>()?,
            fields: fields.collect::<Result<_>>()?,
            loss: loss.shallow_clone(),
        };
        let output = Some(Output { loss, ..output });
        Ok(Shared { presets: Presets::new(), cotangents: Some(cotangents), output })
    }

    /// A part's share of the loss, under autograd. The part begins at row `offset` of the step.
    pub(super) fn share(&self, shared: &Shared, part: &Part, offset: i64, tally: &Tally) -> Result<Tensor> {
        if let Some(cotangents) = &shared.cotangents {
            return contracted(part, cotangents, offset, tally);
        }
        let frame = frame(part, tally.counts(part)?)?;
        let presets = part.slices_of(&shared.presets, offset)?;
        let values = self.evaluate(part, &frame, &presets, &self.plan().mask(|of| of.of_loss), true)?;
        values.tensor(self.program().loss, (part.kind, part.device()))
    }
}

/// A scalar with the gradient that the whole step's loss has for this part. The values of all parts add up to the
/// whole step's loss.
fn contracted(part: &Part, cotangents: &Cotangents, offset: i64, tally: &Tally) -> Result<Tensor> {
    let mut sum = Tensor::f_zeros([0i64; 0], (part.kind, part.device()))?;
    let mut add = |value: &Tensor, cotangent: &Tensor| -> Result<()> {
        // What flows to masked positions counts for nothing, even when it is NaN.
        let cotangent = zero_unless(&part.mask, &part.slice_of(cotangent, offset)?)?;
        sum = sum.f_add(&value.f_mul(&cotangent)?.f_sum(None::<tch::Kind>)?)?;
        Ok(())
    };
    if let (Some(value), Some(cotangent)) = (&part.log_prob, &cotangents.log_prob) {
        add(value, cotangent)?;
    }
    for (value, cotangent) in part.rows.iter().zip(&cotangents.rows) {
        add(value, cotangent)?;
    }
    for (name, cotangent) in &cotangents.fields {
        add(&part.fields[name], cotangent)?;
    }
    let share = part.mask.f_sum(part.kind)?.f_div(&tally.counts(part)?.tokens)?;
    let value = cotangents.loss.f_to_kind(part.kind)?.f_mul(&share)?;
    Ok(sum.f_sub(&sum.f_detach()?)?.f_add(&value)?)
}
