//! What is wrong with a field, in words.

use crate::exec::batch::Batch;
use crate::exec::error::{Error, Result};
use crate::fields;
use crate::tensor::{DType, Tensor};
use crate::types::{Shape, Type};

/// The field of that name, if it is one that torch's operations can take. Whole numbers without a sign of 16 and 32 bits
/// come as int64.
pub(in crate::exec) fn taken(batch: &Batch, name: &str) -> Result<Option<Tensor>> {
    let Some(tensor) = batch.get(name) else { return Ok(None) };
    if matches!(tensor.dtype(), DType::Other("u16" | "u32")) {
        return Ok(Some(tensor.to_dtype(DType::I64)));
    }
    match tensor.unusable() {
        Some(why) => Err(field_error(name, why.expected, &why.found)),
        None => Ok(Some(tensor.clone())),
    }
}

/// What every number that counts has to be.
pub(super) const FINITE: &str = "a finite number where `response_mask` is 1";

/// The index of the first true element.
pub(in crate::exec) fn first_of(wrong: &Tensor) -> Result<Option<Vec<i64>>> {
    if wrong.any().i64_at(&[])? == 0 {
        return Ok(None);
    }
    Ok(Some(wrong.nonzero().select(0, 0).to_i64s()?))
}

pub(in crate::exec) fn place(at: &[i64]) -> String {
    format!("[{}]", at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

pub(super) fn describe(name: &str, ty: Type) -> String {
    let shape = match ty.shape {
        Shape::Token => "`[B, T]`",
        Shape::Seq => "`[B]`",
        Shape::Scalar => "one value",
    };
    match fields::find(name) {
        Some(field) => format!("a `{ty}`, {shape} ({})", field.docs),
        None => format!("a `{ty}`, {shape}, which the program declares as `input`"),
    }
}

/// Refuses a tensor that wants gradient where none flows, which would train nothing without a word.
pub(super) fn refuse_gradient(name: &str, tensor: &Tensor) -> Result<()> {
    // Under `no_grad` what is computed from a leaf requires no gradient.
    if !tensor.requires_grad() || !(-tensor).requires_grad() {
        return Ok(());
    }
    let expected = "a tensor that requires no gradient: this program trains nothing through it";
    Err(field_error(name, expected, "one that requires gradient; `detach()` it"))
}

pub(in crate::exec) fn missing(name: &str, expected: String) -> Error {
    Error::MissingField { name: name.to_owned(), expected }
}

pub(in crate::exec) fn field_error(name: &str, expected: impl Into<String>, found: &str) -> Error {
    Error::Field { name: name.to_owned(), expected: expected.into(), found: found.to_owned() }
}

/// Refuses a field by its first wrong value among those that count.
pub(super) fn refuse_values(
    name: &str,
    tensor: &Tensor,
    wrong: Tensor,
    counted: Option<&Tensor>,
    expected: &str,
) -> Result<()> {
    let wrong = match counted {
        Some(counted) => wrong.logical_and(counted),
        None => wrong,
    };
    let Some(at) = first_of(&wrong)? else { return Ok(()) };
    Err(Error::Value {
        name: name.to_owned(),
        place: place(&at),
        expected: expected.to_owned(),
        found: tensor.f64_at(&at)?.to_string(),
    })
}
