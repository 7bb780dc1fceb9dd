//! Row statistics as a tensor of their own: what a program reads of the logits, computed where the logits are, and given back
//! with the batch.

use super::packed::Packed;
use super::source::refuse_head;
use super::temperature::divisor;
use super::values::{Check, Wanted};
use super::wrong::{field_error, missing, taken};
use super::{Part, Reading};
use crate::exec::batch::Batch;
use crate::exec::error::Result;
use crate::fields::{CU_SEQLENS, POLICY, RESPONSE_MASK, ROWS, is_shared};
use crate::plan::{FirstPass, Plan};
use crate::rows::RowStatistic;
use crate::tensor::{DType, Tensor};
use crate::types::Shape;

/// The statistics `[..., R]` of logits or hidden states with any leading shape: the log-probability of the actions first, if the
/// program reads it, and `more` statistics last.
pub(in crate::exec) fn row_tensor(
    plan: &Plan,
    batch: &Batch,
    reading: Reading<'_>,
    more: &[RowStatistic],
) -> Result<Tensor> {
    let names = [POLICY.logits, POLICY.hidden];
    let Some(model) = names.iter().find_map(|name| batch.get(name)) else {
        let expected = "float logits `[..., V]`, or `hidden` `[..., D]` with `lm_head`".to_owned();
        return Err(missing(POLICY.logits, expected));
    };
    let size = model.size();
    let Some((_, leading)) = size.split_last().filter(|(_, leading)| !leading.is_empty()) else {
        let name = if batch.get(POLICY.logits).is_some() { POLICY.logits } else { POLICY.hidden };
        return Err(field_error(name, "[..., V]", &format!("{size:?}")));
    };
    let count: i64 = leading.iter().product();
    let tempered = divisor(plan.log_prob.iter().chain(&plan.rows).chain(more));
    let mut flat = batch.emptied();
    let read = |name: &str| !["log_prob", CU_SEQLENS, ROWS].contains(&name);
    for (name, tensor) in batch.iter().filter(|(name, _)| read(name)) {
        let plain = !is_shared(name) && tensor.unusable().is_none();
        let tensor = match tempered {
            Some(field) if plain && name == field.as_str() => &spread(plan, batch, tensor, leading)?,
            _ => tensor,
        };
        let of_rows = plain && tensor.size().starts_with(leading);
        let tensor = if of_rows {
            let rest = &tensor.size()[leading.len()..];
            tensor.reshape(&[&[1, count], rest].concat()).ok()?
        } else {
            tensor.clone()
        };
        flat = flat.with(name, tensor);
    }
    if flat.get(RESPONSE_MASK).is_none() {
        flat = flat.with(RESPONSE_MASK, model.full(&[1, count], 1i64, DType::Bool));
    }
    let part = Part::read(&plan.of_rows(more), &flat, Reading { depth: FirstPass::Model, ..reading })?;
    let all: Vec<Tensor> = part.log_prob.into_iter().chain(part.rows).collect();
    if all.is_empty() {
        return Ok(model.zeros(&[leading, &[0]].concat(), DType::F32));
    }
    Ok(Tensor::stack(&all, 2).reshape(&[leading, &[all.len() as i64]].concat()).ok()?)
}

/// The values of a field for each row, if it has one for each of the first dimensions, or for each sequence of a packed
/// batch.
fn spread(plan: &Plan, batch: &Batch, tensor: &Tensor, leading: &[i64]) -> Result<Tensor> {
    let size = tensor.size();
    if let Some(of_tokens) =
        Packed::of(batch)?.and_then(|packed| packed.spread(tensor, plan.divisor_of_sequences))
    {
        return Ok(of_tokens.reshape(leading).ok()?);
    }
    if size.is_empty() || !leading.starts_with(&size) {
        return Ok(tensor.clone());
    }
    let spread = (size.len()..leading.len()).fold(tensor.clone(), |spread, _| spread.unsqueeze(-1));
    Ok(spread.expand(leading).ok()?)
}

/// Refuses what `rows` stand in for.
pub(in crate::exec) fn refuse_beside_rows(batch: &Batch) -> Result<()> {
    for name in [POLICY.logits, POLICY.hidden, "log_prob"] {
        if batch.get(name).is_some() {
            return Err(field_error(ROWS, format!("either `{ROWS}` or `{name}`"), "both"));
        }
    }
    refuse_head(batch, &POLICY, ROWS)
}

impl Part {
    /// Takes the statistics from a tensor `[B, T, R]`, as [`row_tensor`] makes it.
    pub(super) fn take_rows(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        rows: &Tensor,
        checks: &mut Vec<Check>,
    ) -> Result<()> {
        refuse_beside_rows(batch)?;
        let asked: Vec<RowStatistic> = plan.log_prob.iter().chain(&plan.rows).copied().collect();
        let (sequences, width) = self.size();
        let wanted = [sequences, width, asked.len() as i64];
        if rows.size() != wanted {
            let expected = format!("{wanted:?}: one number for each of the program's row names");
            return Err(field_error(ROWS, expected, &format!("{:?}", rows.size())));
        }
        if !matches!(rows.dtype(), DType::F32 | DType::F64) {
            return Err(field_error(ROWS, "f32 or f64, as the rows were made", rows.dtype().name()));
        }
        self.check_device(ROWS, rows)?;
        let each = asked.iter().enumerate().map(|(at, row)| {
            let tensor = self.mask.zero_tokens(&rows.select(2, at as i64)).ok()?;
            let wanted = Wanted::Row(*row);
            checks.push(Check { name: ROWS.to_owned(), tensor: tensor.clone(), shape: Shape::Token, wanted });
            Ok(tensor)
        });
        let mut each = each.collect::<Result<Vec<_>>>()?;
        self.rows = each.split_off(usize::from(plan.log_prob.is_some()));
        self.log_prob = each.pop();
        Ok(())
    }

    /// The statistics of a packed batch: computed of its tokens, then padded.
    pub(super) fn read_packed_rows(
        &mut self,
        packed: &Packed,
        plan: &Plan,
        batch: &Batch,
        reading: Reading<'_>,
    ) -> Result<()> {
        let mut flat = packed.flat(batch)?;
        // Where the batch has one temperature for each sequence, its tokens have it too.
        if let Some(field) = divisor(plan.log_prob.iter().chain(&plan.rows))
            && let Some(of_sequences) = taken(batch, field.as_str())?
            && let Some(of_tokens) = packed.spread(&of_sequences, plan.divisor_of_sequences)
        {
            flat = flat.with(field.as_str(), of_tokens.ok()?);
        }
        let mut row = Part::of_mask(super::field::mask(&flat, reading.validate)?, plan);
        let mut checks = Vec::new();
        row.read_rows(plan, &flat, reading, &mut checks)?;
        if reading.validate {
            row.settle(&checks)?;
        }
        let padded = |tensor: &Tensor| self.mask.zero_tokens(&packed.padded(tensor)).ok();
        self.log_prob = row.log_prob.as_ref().map(padded).transpose()?;
        self.rows = row.rows.iter().map(padded).collect::<std::result::Result<_, _>>()?;
        self.unchecked = row.unchecked;
        Ok(())
    }
}
