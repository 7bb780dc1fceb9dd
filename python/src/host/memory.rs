//! Elements of tensors in Rust.

use super::state::storage;
use aent::tensor::DType;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

/// A single value in the memory of a type.
pub(super) fn number(value: &Bound<'_, PyAny>, dtype: DType, to: &mut [u8]) -> PyResult<()> {
    match dtype {
        DType::F64 => to.copy_from_slice(&value.extract::<f64>()?.to_ne_bytes()),
        DType::F32 => to.copy_from_slice(&(value.extract::<f64>()? as f32).to_ne_bytes()),
        DType::I64 => to.copy_from_slice(&value.extract::<i64>()?.to_ne_bytes()),
        DType::Bool | DType::U8 => to.copy_from_slice(&[value.extract::<i64>()? as u8]),
        other => return Err(PyTypeError::new_err(format!("no number is read as {other}"))),
    }
    Ok(())
}

/// A place in memory that a tensor has, for as long as it is held.
pub(super) struct Place<'a, 'py> {
    pointer: usize,
    bytes: usize,
    _of: &'a Bound<'py, PyAny>,
}

/// Where the elements of a tensor lie as the type that is wanted, on the CPU and in order, in so many bytes. A truth value is a
/// byte of 0 or 1.
pub(super) fn plain<'a, 'py>(
    tensor: &'a Bound<'py, PyAny>,
    found: DType,
    wanted: DType,
    bytes: usize,
) -> PyResult<Option<Place<'a, 'py>>> {
    let py = tensor.py();
    let same = found == wanted || (found, wanted) == (DType::Bool, DType::U8);
    if !same
        || !tensor.getattr(intern!(py, "is_cpu"))?.is_truthy()?
        || !tensor.call_method0(intern!(py, "is_contiguous"))?.is_truthy()?
        || tensor.call_method0(intern!(py, "is_neg"))?.is_truthy()?
    {
        return Ok(None);
    }
    let pointer: usize = tensor.call_method0(intern!(py, "data_ptr"))?.extract()?;
    let (room, offset) = storage(tensor)?;
    let count: usize = tensor.call_method0(intern!(py, "numel"))?.extract()?;
    let whole = count * found.bytes() == bytes && offset * found.bytes() + bytes <= room;
    Ok((whole && (pointer != 0 || bytes == 0)).then_some(Place { pointer, bytes, _of: tensor }))
}

/// Copies what lies there.
#[expect(unsafe_code, reason = "torch gives an address")]
pub(super) fn read(from: &Place<'_, '_>, to: &mut [u8]) {
    let bytes = from.bytes.min(to.len());
    if bytes > 0 {
        // SAFETY: `plain` found a tensor on the CPU, contiguous, whose storage has these bytes; it is alive, and the
        // interpreter is held.
        unsafe { std::ptr::copy_nonoverlapping(from.pointer as *const u8, to.as_mut_ptr(), bytes) };
    }
}

/// Whether every number there lies strictly between the bounds; not of types that Rust does not read.
#[expect(unsafe_code, reason = "torch gives an address")]
pub(super) fn lies_between(from: &Place<'_, '_>, dtype: DType, low: f64, high: f64) -> bool {
    if from.bytes == 0 || !from.pointer.is_multiple_of(dtype.bytes()) {
        return false;
    }
    let count = from.bytes / dtype.bytes();
    match dtype {
        DType::F32 => {
            // SAFETY: as in `read`; the address is aligned.
            let numbers = unsafe { std::slice::from_raw_parts(from.pointer as *const f32, count) };
            numbers.iter().all(|x| low < f64::from(*x) && f64::from(*x) < high)
        }
        DType::F64 => {
            // SAFETY: as above.
            let numbers = unsafe { std::slice::from_raw_parts(from.pointer as *const f64, count) };
            numbers.iter().all(|x| low < *x && *x < high)
        }
        _ => false,
    }
}

/// Fills the memory of a tensor that was made just now.
#[expect(unsafe_code, reason = "torch gives an address")]
pub(super) fn write(tensor: &Bound<'_, PyAny>, dtype: DType, from: &[u8]) -> PyResult<()> {
    let place = plain(tensor, dtype, dtype, from.len())?;
    let place = place.ok_or_else(|| PyRuntimeError::new_err("a new tensor without values in memory"))?;
    if place.bytes > 0 {
        // SAFETY: as in `read`, and nobody else has the tensor yet.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), place.pointer as *mut u8, place.bytes) };
    }
    Ok(())
}
