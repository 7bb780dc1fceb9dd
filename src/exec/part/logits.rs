//! What is read of the logits: the row statistics, and the log-probability of the actions.

use super::temperature::divisor;
use super::values::{Check, Wanted};
use super::wrong::{field_error, missing, refuse_gradient, taken};
use super::{Part, Reading, UncheckedIds};
use crate::exec::batch::Batch;
use crate::exec::error::{Error, Result};
use crate::fields::{LogitFields, POLICY, ROWS};
use crate::kernels::{RowInputs, Source, row_statistics, row_statistics_in_shards};
use crate::plan::{FieldPlan, Plan};
use crate::rows::{FieldName, RowStatistic};
use crate::tensor::{DType, Device, Tensor};
use crate::types::{Shape, Type};

impl Part {
    pub(super) fn read_rows(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        reading: Reading<'_>,
        checks: &mut Vec<Check>,
    ) -> Result<()> {
        if let Some(rows) = taken(batch, ROWS)? {
            return self.take_rows(plan, batch, &rows, checks);
        }
        let own_log_prob = batch.get("log_prob").is_some();
        if plan.log_prob.is_some() && own_log_prob {
            self.log_prob = Some(self.read_field(
                batch,
                &FieldPlan::of("log_prob", Type::TOKEN),
                reading.validate,
                checks,
            )?);
        }
        let derived = plan.log_prob.filter(|_| !own_log_prob);
        let request: Vec<RowStatistic> = derived.iter().chain(&plan.rows).copied().collect();
        let Some(first) = plan.rows.first().or(derived.as_ref()) else { return Ok(()) };
        let (policy, vocabulary) = self.source(batch, &POLICY, || {
            let or = "or `hidden` with `lm_head`";
            if plan.rows.is_empty() {
                format!("float logits `[B, T, V]` for `log_prob` (or `log_prob` itself), {or}")
            } else {
                format!("float logits `[B, T, V]` for the {first}, {or}")
            }
        })?;
        let references = self.read_references(batch, &request)?;
        let acts = request.iter().any(|row| row.statistic.needs_action());
        let actions = self.read_actions(batch, acts)?;
        let listed = self.read_listed(batch, &request, reading.validate, checks)?;
        let divisor = divisor(&request)
            .map(|field| Ok::<_, Error>((field, self.read_divisor(batch, field, checks)?)))
            .transpose()?;
        let fields: Vec<_> = listed.iter().chain(&divisor).map(|(name, tensor)| (*name, tensor)).collect();
        let inputs = RowInputs {
            fields: &fields,
            policy,
            references: &references,
            actions: &actions,
            mask: &self.mask.tokens,
        };
        // Shards read ids on the host, and check them there.
        let is_shard = reading.shards.is_some();
        if acts && !is_shard && !reading.validate && self.device() != Device::Cpu {
            let (actions, mask) = (actions.clone(), self.mask.tokens.clone());
            self.unchecked.push(UncheckedIds { actions, mask, vocabulary, first_row: 0 });
        }
        let mut results = match reading.shards {
            Some(shards) => row_statistics_in_shards(&inputs, &request, &reading.kernels, shards)?,
            None => row_statistics(&inputs, &request, &reading.kernels)?,
        };
        for (row, result) in request.iter().zip(&results) {
            let (name, tensor) = ("logits".to_owned(), result.clone());
            checks.push(Check { name, tensor, shape: Shape::Token, wanted: Wanted::Row(*row) });
        }
        self.rows = results.split_off(usize::from(derived.is_some()));
        if derived.is_some() {
            self.log_prob = results.pop();
        }
        Ok(())
    }

    /// The logits that statistics compare with, by the names of their fields.
    fn read_references<'a>(
        &self,
        batch: &'a Batch,
        request: &[RowStatistic],
    ) -> Result<Vec<(Option<FieldName>, Source<'a>)>> {
        let mut found: Vec<(Option<FieldName>, Source<'a>)> = Vec::new();
        for row in request.iter().filter(|row| row.statistic.needs_reference()) {
            if found.iter().any(|(name, _)| *name == row.reference) {
                continue;
            }
            let names = LogitFields::of_reference(row.reference);
            let LogitFields { hidden, weight, .. } = names;
            let needs = || format!("float logits `[B, T, V]` for the {row}, or `{hidden}` with `{weight}`");
            let (source, _) = self.source(batch, &names, needs)?;
            for name in names.names() {
                batch.get(name).map_or(Ok(()), |tensor| refuse_gradient(name, tensor))?;
            }
            found.push((row.reference, source));
        }
        Ok(found)
    }

    fn read_actions(&self, batch: &Batch, used: bool) -> Result<Tensor> {
        let (sequences, width) = self.size();
        let Some(actions) = taken(batch, "actions")? else {
            if used {
                return Err(missing("actions", "int64 `[B, T]`: the sampled token ids".to_owned()));
            }
            return Ok(self.mask.tokens.zeros(&self.mask.tokens.size(), DType::I64));
        };
        if actions.size() != [sequences, width] {
            let expected = format!("[{sequences}, {width}], as `response_mask`");
            return Err(field_error("actions", expected, &format!("{:?}", actions.size())));
        }
        let integers = [DType::I64, DType::I32, DType::I16, DType::I8, DType::U8];
        if !integers.contains(&actions.dtype()) {
            return Err(field_error("actions", "int64 token ids", actions.dtype().name()));
        }
        self.check_device("actions", &actions)?;
        let actions = actions.to_dtype(DType::I64);
        Ok(actions)
    }
}
