//! One batch field: its shape, kind, device and values.

use super::Part;
use super::values::{Check, Wanted};
use super::wrong::{describe, field_error, missing, refuse_gradient, refuse_values, taken};
use crate::exec::batch::Batch;
use crate::exec::error::Result;
use crate::fields::RESPONSE_MASK;
use crate::plan::FieldPlan;
use crate::tensor::{DType, Device, Tensor};
use crate::types::{Kind, Shape};

impl Part {
    pub(super) fn read_field(
        &self,
        batch: &Batch,
        field: &FieldPlan,
        validate: bool,
        checks: &mut Vec<Check>,
    ) -> Result<Tensor> {
        let (sequences, width) = self.size();
        let (name, ty) = (field.name.as_str(), field.ty);
        let tensor = taken(batch, name)?.ok_or_else(|| missing(name, describe(name, ty)))?;
        let size = tensor.size();
        let per_sequence = field.per_sequence && size == [sequences];
        let fits = match ty.shape {
            Shape::Scalar => size.iter().product::<i64>() == 1 && size.len() <= 1,
            shape => size == self.size_of(shape) || per_sequence,
        };
        if !fits {
            let expected = match ty.shape {
                Shape::Token if field.per_sequence => format!("[{sequences}, {width}] or [{sequences}]"),
                Shape::Token => format!("[{sequences}, {width}]"),
                Shape::Seq => format!("[{sequences}]"),
                Shape::Scalar => "one value".to_owned(),
            };
            return Err(field_error(name, format!("{expected} (a `{ty}`)"), &format!("{size:?}")));
        }
        self.check_device(name, &tensor)?;
        if !field.gradient {
            refuse_gradient(name, &tensor)?;
        }
        let tensor = if per_sequence { tensor.unsqueeze(1).expand(&[sequences, width]) } else { tensor };
        let brought = tensor.dtype();
        let tensor = if ty.kind == Kind::Int {
            if !matches!(tensor.dtype(), DType::I64 | DType::I32) {
                return Err(field_error(name, "int64 or int32 ids", tensor.dtype().name()));
            }
            tensor.to_dtype(DType::I64)
        } else if ty.kind == Kind::Bool {
            to_bool(name, &tensor, self.counted(ty.shape), validate)?
        } else {
            let tensor = if field.gradient || !tensor.requires_grad() { tensor } else { tensor.detach() };
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
            let wanted = if field.log_prob { Wanted::LogProb(brought) } else { Wanted::Finite };
            checks.push(Check { name: name.to_owned(), tensor: tensor.clone(), shape: ty.shape, wanted });
        }
        let tensor = if ty.shape == Shape::Scalar { tensor.reshape(&[]) } else { tensor };
        Ok(self.zeroed(ty.shape, &tensor).ok()?)
    }
}

/// The mask of a batch, as truth values.
pub(super) fn mask(batch: &Batch, validate: bool) -> Result<Tensor> {
    let name = RESPONSE_MASK;
    let mask = taken(batch, name)?
        .ok_or_else(|| missing(name, "bool or 0/1 `[B, T]`: which tokens count".to_owned()))?;
    if mask.size().len() != 2 {
        return Err(field_error(name, "[B, T]", &format!("{:?}", mask.size())));
    }
    refuse_gradient(name, &mask)?;
    to_bool(name, &mask, None, validate)
}

/// Truth values of 0 and 1. Whether a device has other numbers is asked only where values are validated: it costs a wait.
fn to_bool(name: &str, tensor: &Tensor, counted: Option<&Tensor>, validate: bool) -> Result<Tensor> {
    if tensor.dtype() == DType::Bool {
        return Ok(if tensor.requires_grad() { tensor.detach() } else { tensor.clone() });
    }
    let ones = tensor.eq(1.0);
    if !validate && tensor.device() != Device::Cpu {
        return Ok(ones.ok()?);
    }
    let wrong = ones.logical_or(&tensor.eq(0.0)).logical_not();
    refuse_values(name, tensor, wrong, counted, "bool, or 0 or 1")?;
    Ok(ones)
}
