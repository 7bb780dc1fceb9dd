//! The fields of a batch with tokens listed for each row, and with values beside them.

use super::Part;
use super::values::{Check, Wanted};
use super::wrong::{field_error, missing, refuse_gradient, taken};
use crate::exec::batch::Batch;
use crate::exec::error::Result;
use crate::rows::{FieldName, RowStatistic};
use crate::tensor::{DType, Tensor};
use crate::types::Shape;

impl Part {
    /// All such fields that the statistics name, in the kinds that kernels read. Kernels check the ids.
    pub(super) fn read_listed(
        &self,
        batch: &Batch,
        request: &[RowStatistic],
        validate: bool,
        checks: &mut Vec<Check>,
    ) -> Result<Vec<(FieldName, Tensor)>> {
        let mut found: Vec<(FieldName, Tensor)> = Vec::new();
        for row in request {
            let Some(list) = row.listed() else { continue };
            let known = found.iter().find(|(name, _)| *name == list).map(|(_, ids)| ids.clone());
            let ids = known.map_or_else(|| self.read_ids(batch, list.as_str()), Ok)?;
            if found.iter().all(|(name, _)| *name != list) {
                found.push((list, ids.clone()));
            }
            let Some(taught) = row.taught() else { continue };
            if found.iter().any(|(name, _)| *name == taught.of) {
                continue;
            }
            let values = self.read_beside(batch, taught.of.as_str(), (list, &ids), validate, checks)?;
            found.push((taught.of, values));
        }
        Ok(found)
    }

    fn read_ids(&self, batch: &Batch, name: &str) -> Result<Tensor> {
        let described = "int64 `[B, T, K]`: token ids for each token, padded with -1";
        let ids = taken(batch, name)?.ok_or_else(|| missing(name, described.to_owned()))?;
        let (sequences, width) = self.size();
        let size = ids.size();
        if !matches!(*size.as_slice(), [b, t, count] if (b, t) == (sequences, width) && count > 0) {
            let expected = format!("[{sequences}, {width}, K], as `response_mask` is [{sequences}, {width}]");
            return Err(field_error(name, expected, &format!("{size:?}")));
        }
        if !matches!(ids.dtype(), DType::I64 | DType::I32 | DType::I16) {
            return Err(field_error(name, "int64 token ids", ids.dtype().name()));
        }
        self.check_device(name, &ids)?;
        Ok(ids.to_dtype(DType::I64))
    }

    /// Log-probabilities beside ids: what stands at a pad is passed over.
    fn read_beside(
        &self,
        batch: &Batch,
        name: &str,
        (list, ids): (FieldName, &Tensor),
        validate: bool,
        checks: &mut Vec<Check>,
    ) -> Result<Tensor> {
        let described = format!("`[B, T, K]`: log-probabilities of the tokens in `{list}`");
        let values = taken(batch, name)?.ok_or_else(|| missing(name, described))?;
        if values.size() != ids.size() {
            let expected = format!("{:?}, as `{list}`", ids.size());
            return Err(field_error(name, expected, &format!("{:?}", values.size())));
        }
        let brought = values.dtype();
        if !matches!(brought, DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
            return Err(field_error(name, "real numbers", brought.name()));
        }
        self.check_device(name, &values)?;
        refuse_gradient(name, &values)?;
        let values = values.detach();
        if validate {
            // A teacher may give a token no probability, so `-inf` is a value like others.
            let some = ids.ge(0i64).where_cond(&values, &values.full(&[], 0.0, brought));
            let tensor = some.clamp_min(-1e4).amax(-1, false);
            let wanted = Wanted::LogProb(brought);
            checks.push(Check { name: name.to_owned(), tensor, shape: Shape::Token, wanted });
        }
        Ok(values)
    }
}
