//! From a batch to checked tensors: names, shapes, kinds, devices and values, each checked once. Masked
//! positions hold zeros from here on.

mod field;
mod log_prob;
mod logits;
mod source;
mod values;
mod wrong;

use super::Batch;
use super::differences::Fact;
use super::error::Result;
use super::value::Like;
use crate::fields::{self, POLICY};
use crate::kernels::KernelOptions;
use crate::plan::{Facts, Plan};
use crate::plugin::Mask;
use crate::program::{Op, Program};
use crate::tensor::{DType, Device, Tensor};
use std::collections::BTreeMap;
use wrong::{field_error, taken};
pub(super) use wrong::{first_of, place};

/// The tensors of one part of a step.
#[derive(Debug)]
pub(super) struct Part {
    /// What counts.
    pub mask: Mask,
    /// Batch fields besides `log_prob`, zero where masked.
    pub fields: BTreeMap<String, Tensor>,
    /// `[B, T]`, zero where masked.
    pub log_prob: Option<Tensor>,
    /// `[B, T]` each, zero where masked, by the plan's order.
    pub rows: Vec<Tensor>,
    /// `[B, T]`: the sampled tokens, by which a part is recognised where the batch brings them.
    pub actions: Option<Tensor>,
    /// The kind of numbers computed here.
    pub kind: DType,
}

/// What is read of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The mask.
    Mask,
    /// The fields from which is made what spans the step.
    Fields,
    /// Everything.
    Model,
}

/// How a batch is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub depth: Depth,
    pub kernels: KernelOptions,
    pub validate: bool,
}

impl Part {
    pub(super) fn device(&self) -> Device {
        self.mask.tokens.device()
    }

    /// What a number becomes among its tensors.
    pub(super) fn like(&self) -> Like<'_> {
        Like { near: &self.mask.tokens, dtype: self.kind }
    }

    /// `[B, T]` of it.
    pub(super) fn size(&self) -> (i64, i64) {
        let size = self.mask.tokens.size();
        (size[0], size[1])
    }

    /// Reads a batch for a program.
    pub(super) fn read(program: &Program, plan: &Plan, batch: &Batch, reading: Reading) -> Result<Self> {
        let mut part = Part {
            mask: Mask::new(field::mask(batch)?),
            fields: BTreeMap::new(),
            log_prob: None,
            rows: Vec::new(),
            actions: None,
            kind: DType::F32,
        };
        part.actions = part.tokens_of(batch);
        if reading.depth == Depth::Mask {
            return Ok(part);
        }
        // A field that nothing reads which spans the step need not be there yet.
        let mut checks = Vec::new();
        let wanted = |of: &Facts| if reading.depth == Depth::Model { of.needed } else { of.looked_first };
        for (node, facts) in program.nodes.iter().zip(&plan.nodes) {
            let Op::Field(name) = &node.op else { continue };
            if wanted(facts) && !part.fields.contains_key(name) {
                let gradient = fields::find(name).is_some_and(|field| field.gradient);
                let field = part.read_field(batch, name, node.ty, gradient, &mut checks)?;
                part.fields.insert(name.clone(), field);
            }
        }
        if reading.depth == Depth::Model {
            part.read_rows(plan, batch, reading, &mut checks)?;
        }
        if reading.validate {
            part.settle(&checks)?;
        }
        if part.computes_in_f64(plan, batch, reading.depth) {
            part.kind = DType::F64;
        }
        Ok(part)
    }

    /// The sampled tokens, unless they are of a sort that is refused where they are read.
    fn tokens_of(&self, batch: &Batch) -> Option<Tensor> {
        let fits = |of: &Tensor| {
            of.size() == self.mask.tokens.size() && of.device() == self.device() && of.dtype() == DType::I64
        };
        taken(batch, "actions").ok().flatten().filter(fits)
    }

    /// Whether the model's output is f64, or the fields where a program reads no output. Before the model has run, its
    /// inputs tell; a batch without them is computed in f64, which loses nothing.
    fn computes_in_f64(&self, plan: &Plan, batch: &Batch, depth: Depth) -> bool {
        let wide = |tensor: &Tensor| tensor.dtype() == DType::F64;
        if plan.rows.is_empty() && plan.log_prob.is_none() {
            return self.fields.values().any(wide);
        }
        if depth == Depth::Model {
            return self.log_prob.iter().chain(&self.rows).any(wide);
        }
        let model = ["log_prob", POLICY.logits, POLICY.hidden];
        let mut model = model.iter().filter_map(|name| taken(batch, name).ok().flatten()).peekable();
        model.peek().is_none() || model.any(|of| wide(&of))
    }

    /// What was read and in which kinds, with scalars as they are.
    pub(super) fn facts(&self) -> Result<Vec<Fact>> {
        let mut facts = vec![("the kind of numbers".to_owned(), self.kind.to_string())];
        for (name, field) in &self.fields {
            let kind = field.dtype();
            let text = match field.dim() {
                0 => format!("{kind} {:?}", field.f64_at(&[])?),
                1 => format!("{kind} [B]"),
                _ => format!("{kind} [B, T]"),
            };
            facts.push((format!("the field `{name}`"), text));
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
