//! One batch field: its shape, kind, device and values.

use super::Part;
use super::values::{Check, Wanted};
use super::wrong::{describe, field_error, missing, refuse_gradient, refuse_values, taken};
use crate::exec::Batch;
use crate::exec::error::Result;
use crate::fields;
use crate::tensor::{DType, Tensor};
use crate::types::{Kind, Shape, Type, Unit};

impl Part {
    pub(super) fn read_field(
        &self,
        batch: &Batch,
        name: &str,
        ty: Type,
        gradient: bool,
        checks: &mut Vec<Check>,
    ) -> Result<Tensor> {
        let (sequences, width) = self.size();
        let tensor = taken(batch, name)?.ok_or_else(|| missing(name, describe(name, ty)))?;
        let size = tensor.size();
        // Advantages may come one per sequence.
        let per_sequence = name == "advantages" && size == [sequences];
        let fits = match ty.shape {
            Shape::Token => size == [sequences, width] || per_sequence,
            Shape::Seq => size == [sequences],
            Shape::Scalar => size.iter().product::<i64>() == 1 && size.len() <= 1,
        };
        if !fits {
            let expected = match ty.shape {
                Shape::Token if name == "advantages" => format!("[{sequences}, {width}] or [{sequences}]"),
                Shape::Token => format!("[{sequences}, {width}]"),
                Shape::Seq => format!("[{sequences}]"),
                Shape::Scalar => "one value".to_owned(),
            };
            return Err(field_error(name, format!("{expected} (a `{ty}`)"), &format!("{size:?}")));
        }
        self.check_device(name, &tensor)?;
        if !gradient {
            refuse_gradient(name, &tensor)?;
        }
        let tensor = if per_sequence { tensor.unsqueeze(1).expand(&[sequences, width]) } else { tensor };
        let brought = tensor.dtype();
        let tensor = if name == "group" {
            if !matches!(tensor.dtype(), DType::I64 | DType::I32) {
                return Err(field_error(name, "int64 ids of prompts", tensor.dtype().name()));
            }
            tensor.to_dtype(DType::I64)
        } else if ty.kind == Kind::Bool {
            to_bool(name, &tensor, self.counted(ty.shape))?
        } else {
            let tensor = if gradient || !tensor.requires_grad() { tensor } else { tensor.detach() };
            match tensor.dtype() {
                DType::F32 | DType::F64 => tensor,
                DType::Bool => return Err(field_error(name, "numbers", "bool")),
                DType::Other(_) => {
                    return Err(field_error(name, "real numbers", tensor.dtype().name()));
                }
                _ => tensor.to_dtype(DType::F32),
            }
        };
        let is_real = matches!(tensor.dtype(), DType::F32 | DType::F64);
        if is_real {
            let is_log_prob = fields::find(name).is_some_and(|field| field.unit == Unit::LogProb);
            let wanted = if is_log_prob { Wanted::LogProb(brought) } else { Wanted::Finite };
            checks.push(Check { name: name.to_owned(), tensor: tensor.clone(), shape: ty.shape, wanted });
        }
        let tensor = match ty.shape {
            Shape::Token => self.mask.zero_tokens(&tensor),
            Shape::Seq => self.mask.zero_sequences(&tensor),
            Shape::Scalar => tensor.reshape(&[]),
        };
        Ok(tensor.ok()?)
    }
}

/// The mask of a batch, as truth values.
pub(super) fn mask(batch: &Batch) -> Result<Tensor> {
    let name = "response_mask";
    let mask = taken(batch, name)?
        .ok_or_else(|| missing(name, "bool or 0/1 `[B, T]`: which tokens count".to_owned()))?;
    if mask.size().len() != 2 {
        return Err(field_error(name, "[B, T]", &format!("{:?}", mask.size())));
    }
    refuse_gradient(name, &mask)?;
    to_bool(name, &mask, None)
}

fn to_bool(name: &str, tensor: &Tensor, counted: Option<&Tensor>) -> Result<Tensor> {
    if tensor.dtype() == DType::Bool {
        return Ok(if tensor.requires_grad() { tensor.detach() } else { tensor.clone() });
    }
    let ones = tensor.eq(1.0);
    let wrong = ones.logical_or(&tensor.eq(0.0)).logical_not();
    refuse_values(name, tensor, wrong, counted, "bool, or 0 or 1")?;
    Ok(ones)
}
