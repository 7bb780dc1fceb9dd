//! The temperature of each row, where the batch has it.

use super::Part;
use super::values::{Check, Wanted};
use super::wrong::{field_error, missing, refuse_gradient, taken};
use crate::exec::batch::Batch;
use crate::exec::error::Result;
use crate::rows::{FieldName, RowStatistic};
use crate::tensor::{DType, Tensor};
use crate::types::Shape;

/// The field that divides the rows of a request, if one does.
pub(super) fn divisor<'a>(request: impl IntoIterator<Item = &'a RowStatistic>) -> Option<FieldName> {
    request.into_iter().find_map(|row| row.divisor)
}

impl Part {
    /// That field, `[B, T]`.
    pub(super) fn read_divisor(
        &self,
        batch: &Batch,
        field: FieldName,
        checks: &mut Vec<Check>,
    ) -> Result<Tensor> {
        let name = field.as_str();
        let described = "real numbers `[B]` or `[B, T]`: the temperature of each row of logits";
        let brought = taken(batch, name)?.ok_or_else(|| missing(name, described.to_owned()))?;
        let (sequences, width) = self.size();
        let shape = match *brought.size().as_slice() {
            [b, t] if (b, t) == (sequences, width) => Shape::Token,
            [b] if b == sequences => Shape::Seq,
            ref size => {
                let expected = format!("[{sequences}] or [{sequences}, {width}], as `response_mask`");
                return Err(field_error(name, expected, &format!("{size:?}")));
            }
        };
        if !matches!(brought.dtype(), DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
            return Err(field_error(name, "real numbers", brought.dtype().name()));
        }
        self.check_device(name, &brought)?;
        refuse_gradient(name, &brought)?;
        let tensor = brought.detach();
        checks.push(Check { name: name.to_owned(), tensor: tensor.clone(), shape, wanted: Wanted::Positive });
        let each = if shape == Shape::Seq { tensor.unsqueeze(1).expand(&[sequences, width]) } else { tensor };
        Ok(each.ok()?)
    }
}
