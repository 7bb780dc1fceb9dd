//! From a batch to checked tensors: names, shapes, kinds, devices and values, each checked once. Masked
//! positions hold zeros from here on.

mod cut;
mod field;
mod ids;
mod listed;
mod log_prob;
mod logits;
mod packed;
mod rows;
mod source;
mod temperature;
mod values;
mod wrong;

use super::batch::Batch;
use super::error::Result;
use super::facts::Fact;
use super::value::Like;
use crate::fields::{POLICY, ROWS};
use crate::kernels::{KernelOptions, Shards};
use crate::plan::{FieldPlan, FirstPass, Plan};
use crate::plugin::{Mask, StepCounts};
use crate::tensor::{DType, Device, Tensor};
use crate::types::{Kind, Shape};
pub(super) use cut::{mean, pad};
pub(super) use ids::UncheckedIds;
use packed::Packed;
pub(super) use rows::{refuse_beside_rows, row_tensor};
pub(super) use wrong::{field_error, first_of, missing, place, taken};

/// The tensors of one part of a step.
#[derive(Debug)]
pub(super) struct Part {
    /// What counts.
    pub mask: Mask,
    /// The plan's fields, zero where masked; `None` if not read.
    pub fields: Vec<Option<Tensor>>,
    /// `[B, T]`, zero where masked.
    pub log_prob: Option<Tensor>,
    /// `[B, T]` each, zero where masked, by the plan's order.
    pub rows: Vec<Tensor>,
    /// `[B, T]`: the sampled tokens, by which a part is recognised where the batch brings them.
    pub actions: Option<Tensor>,
    /// The ids that were not checked before they were used.
    pub unchecked: Vec<UncheckedIds>,
    /// The kind of numbers computed here.
    pub kind: DType,
}

/// How a batch is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'s> {
    /// What a first pass reads; the last one of them is everything.
    pub depth: FirstPass,
    pub kernels: KernelOptions,
    pub validate: bool,
    /// The ranks that hold the shards of the vocabulary, if the logits are one of them.
    pub shards: Option<&'s Shards<'s>>,
}

impl Part {
    pub(super) fn device(&self) -> Device {
        self.mask.tokens.device()
    }

    /// What a number becomes among its tensors.
    pub(super) fn like(&self) -> Like<'_> {
        Like { near: &self.mask.tokens, dtype: self.kind }
    }

    /// What a value of a kind becomes among its tensors.
    pub(super) fn like_of(&self, kind: Kind) -> Like<'_> {
        let dtype = match kind {
            Kind::Real => self.kind,
            Kind::Bool => DType::Bool,
            Kind::Int => DType::I64,
        };
        Like { dtype, ..self.like() }
    }

    /// `[B, T]` of it.
    pub(super) fn size(&self) -> (i64, i64) {
        let size = self.mask.tokens.size();
        (size[0], size[1])
    }

    /// The part's share of the step's valid tokens, a scalar.
    pub(super) fn weight(&self, counts: &StepCounts) -> Tensor {
        self.mask.tokens.sum_in(self.kind) / counts.tokens()
    }

    /// The size of values of a shape.
    pub(super) fn size_of(&self, shape: Shape) -> Vec<i64> {
        let (sequences, width) = self.size();
        match shape {
            Shape::Token => vec![sequences, width],
            Shape::Seq => vec![sequences],
            Shape::Scalar => vec![],
        }
    }

    /// Which elements of a shape count, if not all.
    pub(super) fn counted(&self, shape: Shape) -> Option<&Tensor> {
        match shape {
            Shape::Token => Some(&self.mask.tokens),
            Shape::Seq => Some(self.mask.sequences()),
            Shape::Scalar => None,
        }
    }

    /// A value with zeros where its elements do not count, even in place of NaN.
    pub(super) fn zeroed(&self, shape: Shape, x: &Tensor) -> Tensor {
        match shape {
            Shape::Token => self.mask.zero_tokens(x),
            Shape::Seq => self.mask.zero_sequences(x),
            Shape::Scalar => x.clone(),
        }
    }

    /// Reads a batch for a program.
    pub(super) fn read(plan: &Plan, batch: &Batch, reading: Reading<'_>) -> Result<Self> {
        let packed = Packed::of(batch)?;
        let mask = match &packed {
            Some(packed) => packed.mask(batch, reading.validate)?,
            None => field::mask(batch, reading.validate)?,
        };
        let mut part = Part::of_mask(mask, plan);
        part.actions = part.tokens_of(batch, packed.as_ref())?;
        if reading.depth == FirstPass::Counts {
            return Ok(part);
        }
        // A field that nothing reads which spans the step need not be there yet.
        let mut checks = Vec::new();
        let all = reading.depth == FirstPass::Model;
        let wanted = |of: &FieldPlan| if all { of.needed } else { of.looked_first };
        let padded = packed.as_ref().map(|packed| packed.fields(batch, plan)).transpose()?;
        let fields = padded.as_ref().unwrap_or(batch);
        for (index, field) in plan.fields.iter().enumerate().filter(|(_, field)| wanted(field)) {
            part.fields[index] = Some(part.read_field(fields, field, reading.validate, &mut checks)?);
        }
        match &packed {
            Some(packed) if all => part.read_packed_rows(packed, plan, batch, reading)?,
            None if all => part.read_rows(plan, batch, reading, &mut checks)?,
            _ => {}
        }
        if reading.validate {
            part.settle(&checks)?;
        }
        if part.computes_in_f64(plan, batch, reading.depth) {
            part.kind = DType::F64;
        }
        Ok(part)
    }

    /// A part of which nothing is read but the mask.
    fn of_mask(mask: Tensor, plan: &Plan) -> Self {
        Part {
            mask: Mask::new(mask),
            fields: vec![None; plan.fields.len()],
            log_prob: None,
            rows: Vec::new(),
            actions: None,
            unchecked: Vec::new(),
            kind: DType::F32,
        }
    }

    /// The sampled tokens, unless they are of a sort that is refused where they are read.
    fn tokens_of(&self, batch: &Batch, packed: Option<&Packed>) -> Result<Option<Tensor>> {
        let tokens = match packed {
            Some(packed) => {
                let flat = packed.flat(batch)?;
                let tokens = taken(&flat, "actions").ok().flatten();
                tokens.filter(|tokens| tokens.dim() == 2).map(|tokens| packed.padded(&tokens))
            }
            None => taken(batch, "actions").ok().flatten(),
        };
        let fits = |of: &Tensor| {
            of.size() == self.mask.tokens.size() && of.device() == self.device() && of.dtype() == DType::I64
        };
        Ok(tokens.filter(fits))
    }

    /// Whether the model's output is f64, or the fields where a program reads no output. Before the model has run, its
    /// inputs tell; a batch without them is computed in f64, which loses nothing.
    fn computes_in_f64(&self, plan: &Plan, batch: &Batch, depth: FirstPass) -> bool {
        let wide = |tensor: &Tensor| tensor.dtype() == DType::F64;
        if plan.rows.is_empty() && plan.log_prob.is_none() {
            return self.fields.iter().flatten().any(wide);
        }
        if depth == FirstPass::Model {
            return self.log_prob.iter().chain(&self.rows).any(wide);
        }
        let model = ["log_prob", ROWS, POLICY.logits, POLICY.hidden];
        let mut model = model.iter().filter_map(|name| taken(batch, name).ok().flatten()).peekable();
        model.peek().is_none() || model.any(|of| wide(&of))
    }

    /// What was read and in which kinds, with scalars as they are.
    pub(super) fn facts(&self, plan: &Plan) -> Result<Vec<Fact>> {
        let mut facts = vec![("the kind of numbers".to_owned(), self.kind.to_string())];
        for (of, field) in plan.fields.iter().zip(&self.fields) {
            let Some(field) = field else { continue };
            let kind = field.dtype();
            let text = match field.dim() {
                0 if of.is_of_each_part() => format!("{kind} of each part"),
                0 => format!("{kind} {:?}", field.f64_at(&[])?),
                1 => format!("{kind} [B]"),
                _ => format!("{kind} [B, T]"),
            };
            facts.push((format!("the field `{}`", of.name), text));
        }
        let log_prob =
            self.log_prob.iter().map(|of| ("the field `log_prob`".to_owned(), of.dtype().to_string()));
        facts.extend(log_prob);
        Ok(facts)
    }

    fn check_device(&self, name: &str, tensor: &Tensor) -> Result<()> {
        let (wanted, found) = (self.device(), tensor.device());
        if wanted == found {
            return Ok(());
        }
        Err(field_error(name, format!("{wanted}, where `response_mask` is"), &found.to_string()))
    }
}
