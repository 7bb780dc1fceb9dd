//! One batch field: its shape, kind, device and values.

use super::Part;
use super::log_prob;
use super::wrong::{FINITE, describe, field_error, missing, refuse_gradient, refuse_values, taken};
use crate::exec::Batch;
use crate::exec::error::Result;
use crate::exec::value::zero_unless;
use crate::fields;
use crate::kernels::kind_name;
use crate::types::{Kind, Shape, Type, Unit};
use tch::{Kind as TensorKind, Tensor};

impl Part {
    pub(super) fn read_field(
        &self,
        batch: &Batch,
        name: &str,
        ty: Type,
        gradient: bool,
        validate: bool,
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
        let tensor =
            if per_sequence { tensor.f_unsqueeze(1)?.f_expand([sequences, width], false)? } else { tensor };
        let counted = match ty.shape {
            Shape::Token => Some(&self.mask),
            Shape::Seq => Some(&self.valid),
            Shape::Scalar => None,
        };
        let brought = tensor.kind();
        let tensor = if name == "group" {
            if !matches!(tensor.kind(), TensorKind::Int64 | TensorKind::Int) {
                return Err(field_error(name, "int64 ids of prompts", kind_name(tensor.kind())));
            }
            tensor.f_to_kind(TensorKind::Int64)?
        } else if ty.kind == Kind::Bool {
            to_bool(name, &tensor, counted)?
        } else {
            let tensor = if gradient { tensor } else { tensor.f_detach()? };
            match tensor.kind() {
                TensorKind::Float | TensorKind::Double => tensor,
                TensorKind::Bool => return Err(field_error(name, "numbers", "bool")),
                TensorKind::ComplexFloat
                | TensorKind::ComplexDouble
                | TensorKind::ComplexHalf
                | TensorKind::QInt8
                | TensorKind::QUInt8
                | TensorKind::QInt32 => {
                    return Err(field_error(name, "real numbers", kind_name(tensor.kind())));
                }
                _ => tensor.f_to_kind(TensorKind::Float)?,
            }
        };
        let is_real = matches!(tensor.kind(), TensorKind::Float | TensorKind::Double);
        if validate && is_real {
            let wrong = tensor.f_isfinite()?.f_logical_not()?;
            let is_log_prob = fields::find(name).is_some_and(|field| field.unit == Unit::LogProb);
            match counted.filter(|_| is_log_prob) {
                Some(counted) => log_prob::check(name, &tensor, brought, wrong, counted)?,
                None => refuse_values(name, &tensor, wrong, counted, FINITE)?,
            }
        }
        match counted {
            Some(counted) => zero_unless(counted, &tensor),
            None => Ok(tensor.f_reshape([0i64; 0])?),
        }
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
    if tensor.kind() == TensorKind::Bool {
        return Ok(tensor.f_detach()?);
    }
    let ones = tensor.f_eq(1.0)?;
    let wrong = ones.f_logical_or(&tensor.f_eq(0.0)?)?.f_logical_not()?;
    refuse_values(name, tensor, wrong, counted, "bool, or 0 or 1")?;
    Ok(ones)
}
