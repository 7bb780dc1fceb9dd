//! What the parts of a step need from the whole step, and each part's share of the loss.

use super::Frozen;
use crate::exec::error::Result;
use crate::exec::output::{Output, PartOutput};
use crate::exec::part::Part;
use crate::exec::tally::Tally;
use crate::exec::value::Presets;
use crate::plan::FirstPass;
use crate::program::NodeId;
use crate::tensor::Tensor;

/// What the parts need from the whole step.
#[derive(Debug, Default)]
pub(in crate::exec) struct Shared {
    pub presets: Presets,
    /// The gradient of each of [`Frozen::trained`] with respect to the model's outputs, if the loss is not a sum over the
    /// parts.
    cotangents: Option<Vec<Cotangents>>,
    /// The step's output, if computing that gradient already gave it.
    pub output: Option<Output>,
}

#[derive(Debug)]
struct Cotangents {
    log_prob: Option<Tensor>,
    rows: Vec<Tensor>,
    /// By the plan's fields; `None` where no gradient flows.
    fields: Vec<Option<Tensor>>,
    loss: Tensor,
}

impl Frozen {
    /// Computes what the parts need; `whole` holds what the plan's first pass reads.
    pub(in crate::exec) fn shared(&self, whole: &Part, tally: &Tally) -> Result<Shared> {
        match self.plan().first_pass {
            FirstPass::Counts => Ok(Shared::default()),
            FirstPass::Fields => {
                let (nodes, wanted) = (self.plan().known_first(), self.plan().mask(|of| of.looked_first));
                let presets = self.spanning(whole, tally, &nodes, &wanted, &Presets::new())?;
                Ok(Shared { presets, ..Shared::default() })
            }
            FirstPass::Model => self.differentiate(whole, tally),
        }
    }

    /// The values of `nodes` on the whole step; `wanted` marks all nodes to compute for them.
    pub(in crate::exec) fn spanning(
        &self,
        whole: &Part,
        tally: &Tally,
        nodes: &[usize],
        wanted: &[bool],
        known: &Presets,
    ) -> Result<Presets> {
        let _untracked = whole.mask.tokens.no_grad();
        let values = self.evaluate(whole, tally, known, wanted, false)?;
        let value = |index: &usize| (*index, values.tensor(NodeId(*index as u32), whole.like()));
        Ok(nodes.iter().map(value).collect())
    }

    /// The losses by name, or else the one loss.
    fn trained(&self) -> Vec<NodeId> {
        let program = self.program();
        if program.losses.is_empty() {
            return vec![program.loss];
        }
        program.losses.iter().map(|(_, id)| *id).collect()
    }

    /// The gradient of each loss with respect to all outputs of the model, on the whole step.
    fn differentiate(&self, whole: &Part, tally: &Tally) -> Result<Shared> {
        let mut cotangents = Vec::new();
        let mut output = None;
        for id in self.trained() {
            let (of_loss, whole) = self.differentiated(whole, tally, id)?;
            cotangents.push(of_loss);
            output = Some(whole);
        }
        Ok(Shared { presets: Presets::new(), cotangents: Some(cotangents), output })
    }

    /// The same of one loss, with the step's output.
    fn differentiated(&self, whole: &Part, tally: &Tally, id: NodeId) -> Result<(Cotangents, Output)> {
        let mut whole = whole.detached();
        whole.log_prob = whole.log_prob.as_ref().map(Tensor::leaf);
        whole.rows = whole.rows.iter().map(Tensor::leaf).collect();
        for (plan, field) in self.plan().fields.iter().zip(&mut whole.fields) {
            if plan.gradient {
                *field = field.as_ref().map(Tensor::leaf);
            }
        }
        let tracked = whole.mask.tokens.with_grad();
        let values =
            self.evaluate(&whole, tally, &Presets::new(), &self.plan().mask(|of| of.needed), true)?;
        let output = self.output(&whole, &values, tally.tokens())?;
        let loss = values.tensor(id, whole.like()).ok()?;
        if loss.requires_grad() {
            loss.backward()?;
        } else {
            output.backward()?;
        }
        drop(tracked);
        let loss = loss.detach();
        // A leaf that the loss does not depend on has no gradient: use zeros.
        let gradient = |tensor: &Tensor| tensor.grad().unwrap_or_else(|| tensor.zeros_like());
        let fields = whole.fields.iter().map(|field| field.as_ref().filter(|field| field.requires_grad()));
        let fields = fields.map(|field| field.map(gradient));
        let cotangents = Cotangents {
            log_prob: whole.log_prob.as_ref().map(gradient),
            rows: whole.rows.iter().map(gradient).collect(),
            fields: fields.collect(),
            loss,
        };
        let losses = output.losses.iter().map(|(name, loss)| (name.clone(), loss.detach())).collect();
        Ok((cotangents, Output { loss: output.loss.detach(), losses, ..output }))
    }

    /// A part's share of the losses, under autograd. The part begins at row `offset` of the step.
    pub(in crate::exec) fn share(
        &self,
        shared: &Shared,
        part: &Part,
        offset: i64,
        tally: &Tally,
    ) -> Result<PartOutput> {
        let named = |shares: Vec<Tensor>| {
            let names = self.program().losses.iter().map(|(name, _)| name.clone());
            names.zip(shares).collect()
        };
        if let Some(cotangents) = &shared.cotangents {
            let shares = cotangents.iter().map(|of| contracted(part, of, offset, tally));
            let shares = shares.collect::<Result<Vec<_>>>()?;
            let sum = shares[1..].iter().fold(shares[0].clone(), |sum, share| sum + share);
            return Ok(PartOutput { loss: sum.ok()?, losses: named(shares) });
        }
        let presets = part.slices_of(&shared.presets, offset);
        let values = self.evaluate(part, tally, &presets, &self.plan().mask(|of| of.of_loss), true)?;
        let of = |id: &NodeId| Ok(values.tensor(*id, part.like()).ok()?);
        let losses = self.program().losses.iter().map(|(_, id)| of(id)).collect::<Result<_>>()?;
        Ok(PartOutput { loss: of(&self.program().loss)?, losses: named(losses) })
    }
}

/// A scalar whose gradient is that of the whole step's loss with respect to this part. Its values add up over the parts
/// to the whole step's loss.
fn contracted(part: &Part, cotangents: &Cotangents, offset: i64, tally: &Tally) -> Result<Tensor> {
    let share = part.weight(&tally.counts(part));
    let mut sum = part.like().scalar(0.0);
    let mut add = |value: &Tensor, cotangent: &Tensor| {
        // Gradients at masked positions are dropped, NaN included.
        let cotangent = match part.slice_of(cotangent, offset) {
            scalar if scalar.dim() == 0 => scalar * &share,
            of_sequences if of_sequences.dim() == 1 => part.mask.zero_sequences(&of_sequences),
            of_tokens => part.mask.zero_tokens(&of_tokens),
        };
        sum = &sum + (value * cotangent).sum();
    };
    if let (Some(value), Some(cotangent)) = (&part.log_prob, &cotangents.log_prob) {
        add(value, cotangent);
    }
    for (value, cotangent) in part.rows.iter().zip(&cotangents.rows) {
        add(value, cotangent);
    }
    for (value, cotangent) in part.fields.iter().zip(&cotangents.fields) {
        if let (Some(value), Some(cotangent)) = (value, cotangent) {
            add(value, cotangent);
        }
    }
    let value = cotangents.loss.to_dtype(part.kind) * &share;
    Ok((&sum - sum.detach() + value).ok()?)
}
