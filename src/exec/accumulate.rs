//! A step in parts, with the gradients, metrics and signals of the whole.

use super::batch::Batch;
use super::error::{Error, Result};
use super::evaluate::frame;
use super::frozen::Frozen;
use super::output::{Output, backward};
use super::part::{Depth, Part};
use super::value::zero_unless;
use super::whole::Tally;
use crate::plan::FirstPass;
use std::collections::HashMap;
use tch::Tensor;

/// A step that comes in micro-batches, cut along B in any way.
///
/// First every part is measured, which costs a look at its mask, unless the program needs more of the whole
/// step (see [`FirstPass`]). Then every part gives its share of the loss, in the same order. The gradients of
/// the shares add up to the gradient of the whole step's loss.
///
/// ```no_run
/// # fn run(session: &mut aent::Session, parts: &[aent::Batch]) -> aent::Result<()> {
/// let mut step = session.accumulate();
/// for part in parts {
///     step.measure(part)?;
/// }
/// for part in parts {
///     step.step(part)?.backward()?;
/// }
/// let output = step.finish()?;
/// session.observe(&output)
/// # }
/// ```
#[derive(Debug)]
pub struct Accumulation {
    frozen: Frozen,
    tally: Tally,
    measured: Vec<Part>,
    /// The row at which each part begins, and where the next would.
    offsets: Vec<i64>,
    shared: Option<Shared>,
    /// What the parts brought, without gradient, for the metrics of the whole.
    recorded: Vec<Part>,
    given_counts: bool,
}

/// What the parts need to know of the whole step.
#[derive(Debug, Default)]
struct Shared {
    /// Values that span the step, by node.
    presets: HashMap<usize, Tensor>,
    /// The loss's gradient for what comes from the model, when the loss is no sum over the parts.
    cotangents: Option<Cotangents>,
}

#[derive(Debug)]
struct Cotangents {
    log_prob: Option<Tensor>,
    rows: Vec<Tensor>,
    fields: Vec<(String, Tensor)>,
    loss: Tensor,
}

/// One part's share of the loss.
#[derive(Debug)]
pub struct PartOutput {
    loss: Tensor,
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

impl Accumulation {
    pub(super) fn new(frozen: Frozen) -> Self {
        Self {
            frozen,
            tally: Tally::default(),
            measured: Vec::new(),
            offsets: vec![0],
            shared: None,
            recorded: Vec::new(),
            given_counts: false,
        }
    }

    /// Takes the counts of the whole step from the caller, so that nothing has to be measured: valid tokens,
    /// sequences with at least one, and the padded length. Refused for programs that need more.
    pub fn with_counts(mut self, tokens: i64, sequences: i64, width: i64) -> Result<Self> {
        let first_pass = self.frozen.plan().first_pass;
        if first_pass != FirstPass::Counts {
            return Err(Error::Step(format!(
                "this program needs more of the whole step than its counts ({first_pass:?}): `measure` its parts"
            )));
        }
        self.tally = Tally::known(tokens, sequences, width);
        self.given_counts = true;
        Ok(self)
    }

    /// Looks at a part before any part gives its share.
    pub fn measure(&mut self, batch: &Batch) -> Result<()> {
        if self.shared.is_some() || self.given_counts {
            return Err(Error::Step("every part is measured before the first one is stepped".to_owned()));
        }
        let depth = match self.frozen.plan().first_pass {
            FirstPass::Counts => Depth::Mask,
            FirstPass::Fields => Depth::Fields,
            FirstPass::Model => Depth::Model,
        };
        let _untracked = tch::no_grad_guard();
        let part = self.frozen.read(batch, depth)?.detached()?;
        self.tally.add(&part)?;
        self.offsets.push(self.offsets[self.offsets.len() - 1] + part.size().0);
        self.measured.push(part);
        Ok(())
    }

    /// A part's share of the loss, in the order in which the parts were measured.
    pub fn step(&mut self, batch: &Batch) -> Result<PartOutput> {
        let index = self.recorded.len();
        if !self.given_counts && index >= self.measured.len() {
            return Err(Error::Step(format!(
                "part {} was not measured: expected {} parts",
                index + 1,
                self.measured.len()
            )));
        }
        let shared = match self.shared.take() {
            Some(shared) => shared,
            None => self.share()?,
        };
        let loss = self.part(batch, index, &shared);
        self.shared = Some(shared);
        let (part, loss) = loss?;
        self.recorded.push(part.detached()?);
        Ok(PartOutput { loss })
    }

    fn part(&self, batch: &Batch, index: usize, shared: &Shared) -> Result<(Part, Tensor)> {
        let part = self.frozen.read(batch, Depth::Model)?;
        if let Some(measured) = self.measured.get(index)
            && measured.size() != part.size()
        {
            return Err(Error::Step(format!(
                "part {}: expected the part that was measured, {:?}, found one of {:?}",
                index + 1,
                measured.size(),
                part.size()
            )));
        }
        let offset = self.offsets.get(index).copied().unwrap_or(0);
        let loss = match &shared.cotangents {
            Some(cotangents) => self.contracted(&part, cotangents, offset)?,
            None => self.share_of(&part, &shared.presets, offset)?,
        };
        Ok((part, loss))
    }

    /// The whole step's loss, metrics and signals, for [`super::Session::observe`].
    pub fn finish(self) -> Result<Output> {
        if self.recorded.is_empty() || (!self.given_counts && self.recorded.len() != self.measured.len()) {
            return Err(Error::Step(format!(
                "the step is not whole: {} of {} parts gave their share",
                self.recorded.len(),
                self.measured.len()
            )));
        }
        let whole = Part::join(&self.recorded)?;
        let _untracked = tch::no_grad_guard();
        let frame = frame(&whole, self.tally.counts(&whole)?)?;
        let frozen = &self.frozen;
        let values = frozen.evaluate(&whole, &frame, &HashMap::new(), &frozen.plan().needed, false)?;
        frozen.output(&whole, &values, self.tally.tokens())
    }

    /// Computes what spans the step.
    fn share(&self) -> Result<Shared> {
        let frozen = &self.frozen;
        match frozen.plan().first_pass {
            FirstPass::Counts => Ok(Shared::default()),
            FirstPass::Fields => {
                let whole = Part::join(&self.measured)?;
                let frame = frame(&whole, self.tally.counts(&whole)?)?;
                let plan = frozen.plan();
                let spans =
                    |index: usize| plan.needed[index] && plan.whole_step[index] && !plan.from_model[index];
                let mut wanted: Vec<bool> = (0..plan.needed.len()).map(spans).collect();
                for index in (0..wanted.len()).rev() {
                    if wanted[index] {
                        for id in frozen.program().nodes[index].op.operands() {
                            wanted[id.index()] = true;
                        }
                    }
                }
                let _untracked = tch::no_grad_guard();
                let values = frozen.evaluate(&whole, &frame, &HashMap::new(), &wanted, false)?;
                let like = (whole.kind, whole.device());
                let presets = (0..wanted.len())
                    .filter(|&index| spans(index))
                    .map(|index| Ok((index, values.tensor(crate::program::NodeId(index as u32), like)?)));
                Ok(Shared { presets: presets.collect::<Result<_>>()?, cotangents: None })
            }
            FirstPass::Model => self.differentiate(),
        }
    }

    /// The loss's gradient for every value that comes from the model, on the whole step.
    fn differentiate(&self) -> Result<Shared> {
        let frozen = &self.frozen;
        let mut whole = Part::join(&self.measured)?;
        let leaf =
            |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_detach_copy()?.f_set_requires_grad(true)?) };
        whole.log_prob = whole.log_prob.as_ref().map(leaf).transpose()?;
        whole.rows = whole.rows.iter().map(leaf).collect::<Result<_>>()?;
        for (name, field) in &mut whole.fields {
            if crate::fields::find(name).is_some_and(|of| of.gradient) {
                *field = leaf(field)?;
            }
        }
        let frame = frame(&whole, self.tally.counts(&whole)?)?;
        let loss = tch::with_grad(|| -> Result<Tensor> {
            let values = frozen.evaluate(&whole, &frame, &HashMap::new(), &frozen.plan().needed, true)?;
            let loss = values.tensor(frozen.program().loss, (whole.kind, whole.device()))?;
            backward(&loss)?;
            Ok(loss.f_detach()?)
        })?;
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
            loss,
        };
        Ok(Shared { presets: HashMap::new(), cotangents: Some(cotangents) })
    }

    /// A scalar with the gradient that the whole step's loss has for this part. The values of all parts add up
    /// to the whole step's loss.
    fn contracted(&self, part: &Part, cotangents: &Cotangents, offset: i64) -> Result<Tensor> {
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
        let share = part.mask.f_sum(part.kind)?.f_div(&self.tally.counts(part)?.tokens)?;
        let value = cotangents.loss.f_to_kind(part.kind)?.f_mul(&share)?;
        Ok(sum.f_sub(&sum.f_detach()?)?.f_add(&value)?)
    }

    fn share_of(&self, part: &Part, presets: &HashMap<usize, Tensor>, offset: i64) -> Result<Tensor> {
        let frozen = &self.frozen;
        let frame = frame(part, self.tally.counts(part)?)?;
        let sliced = presets.iter().map(|(index, whole)| Ok((*index, part.slice_of(whole, offset)?)));
        let sliced = sliced.collect::<Result<HashMap<_, _>>>()?;
        let values = frozen.evaluate(part, &frame, &sliced, frozen.plan().loss_nodes(), true)?;
        values.tensor(frozen.program().loss, (part.kind, part.device()))
    }
}
