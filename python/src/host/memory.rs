//! Elements of tensors in Rust.

use super::convert::dtype;
use super::state;
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

/// Whether the elements lie in memory as that type, on the CPU and in order. A truth value is a byte of 0 or 1.
pub(super) fn is_plain(tensor: &Bound<'_, PyAny>, wanted: DType) -> PyResult<bool> {
    let py = tensor.py();
    let found = dtype(tensor)?;
    Ok((found == wanted || (found, wanted) == (DType::Bool, DType::U8))
        && tensor.getattr(intern!(py, "is_cpu"))?.is_truthy()?
        && tensor.call_method0(intern!(py, "is_contiguous"))?.is_truthy()?
        && !tensor.call_method0(intern!(py, "is_neg"))?.is_truthy()?)
}

/// Copies the memory of a contiguous tensor on the CPU.
#[expect(unsafe_code, reason = "torch gives an address")]
pub(super) fn read(tensor: &Bound<'_, PyAny>, to: &mut [u8]) -> PyResult<()> {
    let py = tensor.py();
    let refuse = || PyRuntimeError::new_err("a tensor without values in memory");
    let width: usize = tensor.call_method0(intern!(py, "element_size"))?.extract()?;
    let count = state::shape(tensor)?.iter().product::<i64>() as usize;
    let plain = tensor.getattr(intern!(py, "is_cpu"))?.is_truthy()?
        && tensor.call_method0(intern!(py, "is_contiguous"))?.is_truthy()?
        && count * width == to.len();
    let pointer = state::pointer(tensor).filter(|_| plain).ok_or_else(refuse)?;
    // SAFETY: the tensor is alive, on the CPU and contiguous, its storage has all its elements, and they take as many
    // bytes as there is room for.
    unsafe { std::ptr::copy_nonoverlapping(pointer as *const u8, to.as_mut_ptr(), to.len()) };
    Ok(())
}
