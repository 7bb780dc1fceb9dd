//! What a rank has of a batch in shards: its own tokens, and what is alike on all ranks.

use super::SequenceShards;
use super::layout::Layout;
use crate::exec::batch::Batch;
use crate::exec::error::Result;
use crate::exec::facts::Fact;
use crate::exec::frozen::Frozen;
use crate::exec::part::{field_error, missing, refuse_beside_rows, row_tensor, taken};
use crate::fields::{CU_SEQLENS, POLICY, RESPONSE_MASK, ROWS};
use crate::plan::{FieldPlan, FirstPass, Plan};
use crate::tensor::{DType, Tensor};
use crate::types::Shape;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A rank's part of a batch.
pub(super) struct Own {
    /// What is gathered: its tokens lie along `dim`.
    pub(super) of_tokens: Vec<(String, Tensor)>,
    /// What is the same on all ranks.
    pub(super) alike: Batch,
    /// Scalars with gradient, of which each rank has its own.
    pub(super) scalars: Vec<(String, Tensor)>,
    /// How many of its tokens count.
    pub(super) tokens: Tensor,
    pub(super) dim: usize,
    pub(super) layout: Layout,
}

impl Own {
    pub(super) fn of(
        shards: &SequenceShards,
        frozen: &Frozen,
        batch: &Batch,
        depth: FirstPass,
        recognised: bool,
    ) -> Result<Self> {
        let plan = frozen.plan();
        let expected = || "bool or 0/1 `[B, T]`: which of this rank's tokens count".to_owned();
        let mask = taken(batch, RESPONSE_MASK)?.ok_or_else(|| missing(RESPONSE_MASK, expected()))?;
        let ends = taken(batch, CU_SEQLENS)?;
        let (dim, tokens) = match &ends {
            Some(_) => (0, mask.numel() as i64),
            None if mask.dim() == 2 => (1, mask.length(1)),
            None => return Err(field_error(RESPONSE_MASK, "[B, T]", &format!("{:?}", mask.size()))),
        };
        let layout = shards.layout(tokens, ends.as_ref())?;
        let size = if dim == 0 { vec![tokens] } else { mask.size() };
        // What pads the last rank does not count, whatever the mask says of it.
        let mask = match layout.inside(&mask, shards.group.rank())? {
            Some(inside) => mask.ne(0.0).logical_and(&inside.reshape(&mask.size())).ok()?,
            None => mask,
        };
        let mut own = Self {
            of_tokens: Vec::new(),
            alike: Batch::new(),
            scalars: Vec::new(),
            tokens: mask.detach().to_dtype(DType::Bool).sum_in(DType::I64),
            dim,
            layout,
        };
        if let Some(ends) = ends {
            own.alike = own.alike.with(CU_SEQLENS, ends);
        }
        own.add(RESPONSE_MASK, &mask, &size);
        let actions = taken(batch, "actions").ok().flatten().filter(|_| recognised);
        if let Some(actions) =
            actions.filter(|actions| leads(actions, &size) && actions.numel() == product(&size))
        {
            own.add("actions", &actions, &size);
        }
        if depth == FirstPass::Counts {
            return Ok(own);
        }
        let all = depth == FirstPass::Model;
        for field in plan.fields.iter().filter(|of| if all { of.needed } else { of.looked_first }) {
            own.take(batch, field, &size)?;
        }
        if all {
            own.take_rows(frozen, batch, &size, shards.group.rank())?;
        }
        Ok(own)
    }

    /// What all ranks must have alike.
    pub(super) fn facts(&self, values: bool) -> Result<Vec<Fact>> {
        let mut facts = Vec::new();
        for (name, tensor) in self.of_tokens.iter().chain(&self.scalars) {
            let text = format!("{} {:?}", tensor.dtype().name(), tensor.size());
            facts.push((format!("the field `{name}`"), text));
        }
        for (name, tensor) in self.alike.iter() {
            let mut text = format!("{} {:?}", tensor.dtype().name(), tensor.size());
            if values {
                let mut hasher = DefaultHasher::new();
                tensor
                    .detach()
                    .to_dtype(DType::F64)
                    .to_f64s()?
                    .iter()
                    .for_each(|x| x.to_bits().hash(&mut hasher));
                text = format!("{text} with the hash {:x}", hasher.finish());
            }
            facts.push((format!("the field `{name}`, which all shards have alike,"), text));
        }
        Ok(facts)
    }

    /// A field of a formula.
    fn take(&mut self, batch: &Batch, field: &FieldPlan, size: &[i64]) -> Result<()> {
        let name = field.name.as_str();
        // What is missing or wrong is found where the whole is read.
        let Some(tensor) = taken(batch, name)? else { return Ok(()) };
        if field.is_of_each_part() {
            self.scalars.push((name.to_owned(), tensor));
        } else if field.ty.shape == Shape::Token && leads(&tensor, size) {
            self.add(name, &tensor, size);
        } else {
            self.alike = std::mem::take(&mut self.alike).with(name, tensor);
        }
        Ok(())
    }

    /// What is read of the logits: as the batch brings it, or computed here.
    fn take_rows(&mut self, frozen: &Frozen, batch: &Batch, size: &[i64], rank: usize) -> Result<()> {
        let plan = frozen.plan();
        let log_prob = taken(batch, "log_prob")?.filter(|_| plan.log_prob.is_some());
        if let Some(rows) = taken(batch, ROWS)? {
            refuse_beside_rows(batch)?;
            self.add(ROWS, &rows, size);
            return Ok(());
        }
        if let (Some(log_prob), true) = (&log_prob, plan.rows.is_empty()) {
            self.add("log_prob", log_prob, size);
            return Ok(());
        }
        if plan.rows.is_empty() && plan.log_prob.is_none() {
            return Ok(());
        }
        let own = self.with_divisor(plan, batch, size, rank)?;
        let mut rows = frozen.together(FirstPass::Model, |reading| row_tensor(plan, &own, reading, &[]))?;
        if let Some(log_prob) = log_prob {
            let last = rows.dim() - 1;
            let rest = rows.narrow(last as i64, 1, rows.length(last) - 1);
            let first = log_prob.to_dtype(rows.dtype()).reshape(&rows.size()[..last]).unsqueeze(-1);
            rows = Tensor::cat(&[first, rest], last as i64);
        }
        self.add(ROWS, &rows.ok()?, size);
        Ok(())
    }

    /// The batch of the own tokens, with the temperature of each where a packed one has that of its sequences.
    fn with_divisor(&self, plan: &Plan, batch: &Batch, size: &[i64], rank: usize) -> Result<Batch> {
        let mut own = batch.emptied();
        let tempered = plan.log_prob.iter().chain(&plan.rows).find_map(|row| row.divisor);
        for (name, tensor) in batch.iter().filter(|(name, _)| *name != CU_SEQLENS) {
            let mut tensor = tensor.clone();
            if let (Some(ends), true) =
                (batch.get(CU_SEQLENS), tempered.is_some_and(|field| field.as_str() == name))
                && (plan.divisor_of_sequences || !leads(&tensor, size))
                && tensor.size() == [ends.length(0) - 1]
            {
                let ends = ends.to_dtype(DType::I64).to_i64s()?;
                let each = ends.windows(2).enumerate();
                let of_tokens = each.flat_map(|(at, pair)| {
                    std::iter::repeat_n(at as i64, usize::try_from(pair[1] - pair[0]).unwrap_or(0))
                });
                let of_tokens: Vec<i64> = of_tokens.collect();
                let index = Tensor::from_slice(tensor.host()?, &of_tokens, &[of_tokens.len() as i64]);
                let spread = tensor.index_select(0, &index.to_device(tensor.device()));
                let leading = batch.get(POLICY.logits).or(batch.get(POLICY.hidden)).map(Tensor::size);
                let leading = leading.map_or_else(|| size.to_vec(), |size| size[..size.len() - 1].to_vec());
                tensor = self.layout.own(&spread, 0, rank)?.reshape(&leading);
            }
            if let (RESPONSE_MASK, Some((_, mask))) = (name, self.of_tokens.first()) {
                tensor = mask.reshape(&tensor.size());
            }
            own = own.with(name, tensor);
        }
        Ok(own)
    }

    /// Adds a tensor with the own tokens in front, `size` and what is behind it.
    fn add(&mut self, name: &str, tensor: &Tensor, size: &[i64]) {
        let rest = if leads(tensor, size) {
            let skipped = tensor.dim() - rest_of(tensor, size);
            [size, &tensor.size()[skipped..]].concat()
        } else {
            tensor.size()
        };
        self.of_tokens.push((name.to_owned(), tensor.reshape(&rest)));
    }
}

/// How many dimensions are behind those of the tokens.
fn rest_of(tensor: &Tensor, size: &[i64]) -> usize {
    let found = tensor.size();
    if found.starts_with(size) { found.len() - size.len() } else { found.len() - size.len() - 1 }
}

/// Whether a tensor has the own tokens in front: `size`, or for packed tokens `[1, N]`.
fn leads(tensor: &Tensor, size: &[i64]) -> bool {
    let found = tensor.size();
    found.starts_with(size) || (size.len() == 1 && found.first() == Some(&1) && found[1..].starts_with(size))
}

fn product(size: &[i64]) -> usize {
    size.iter().product::<i64>() as usize
}
