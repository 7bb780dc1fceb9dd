//! What torch knows of a tensor and of this thread, and what its exceptions mean.

use super::torch::torch;
use crate::errors;
use crate::kept::Kept;
use aent::tensor::{DType, Device, TensorError, Unusable};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PyTuple, PyType};

/// Runs calls of torch; an exception becomes the error of the operation.
pub(super) fn interrupting<T>(run: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T, TensorError> {
    if let Some(text) = errors::left() {
        return Err(TensorError::new(text));
    }
    Python::attach(|py| run(py).map_err(|error| errors::of_torch(py, error)))
}

/// The same of an exception that was raised already.
pub(super) fn failed(error: PyErr) -> TensorError {
    Python::attach(|py| errors::of_torch(py, error))
}

/// Why no operation can take this tensor, if none can.
pub(super) fn unusable(tensor: &Bound<'_, PyAny>, dtype: DType) -> PyResult<Option<Unusable>> {
    static STRIDED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = tensor.py();
    let refuse = |expected, found: &str| Ok(Some(Unusable { expected, found: found.to_owned() }));
    let is = |name| -> PyResult<bool> { tensor.getattr(name)?.is_truthy() };
    let is_strided = || -> PyResult<bool> {
        let strided = STRIDED
            .get_or_try_init(py, || Ok::<_, PyErr>(torch(py)?.getattr(intern!(py, "strided"))?.unbind()))?;
        Ok(tensor.getattr(intern!(py, "layout"))?.is(strided))
    };
    let is_usual = || -> PyResult<bool> {
        // One inside of a transform refuses to tell its address.
        Ok(is_torchs_own(tensor)?
            && is_strided()?
            && !is(intern!(py, "is_nested"))?
            && !matches!(dtype, DType::Other(_))
            && !is_without_memory(tensor)?)
    };
    if is_usual().unwrap_or(false) {
        return Ok(None);
    }
    if is_transformed(tensor)? {
        return refuse(
            "a plain tensor",
            "one inside of a transform of `torch.func`, such as `vmap` or `grad`",
        );
    }
    if is(intern!(py, "is_nested"))? {
        return refuse("a strided tensor", "a nested one (`torch.nested.to_padded_tensor` makes it strided)");
    }
    if !is_strided()? {
        return refuse("a strided tensor", "one of a sparse layout (`.to_dense()` makes it strided)");
    }
    let Ok(size) = shape(tensor) else {
        return refuse("a tensor of known sizes", "one whose sizes are symbols");
    };
    if is(intern!(py, "is_meta"))? {
        return refuse("a tensor with values", "one on the device `meta`");
    }
    if let DType::Other(name) = dtype {
        let way_out = if matches!(name, "u16" | "u32" | "u64") {
            format!("{name} (`.to(torch.int64)` makes it int64)")
        } else {
            name.to_owned()
        };
        return refuse("f32, f64, bf16, f16, bool or int64", &way_out);
    }
    if is_torchs_own(tensor)? && !size.contains(&0) && is_without_memory(tensor)? && !is_zero(tensor)? {
        return refuse("a tensor with values", "one whose storage was freed or never filled");
    }
    Ok(None)
}

fn is_without_memory(tensor: &Bound<'_, PyAny>) -> PyResult<bool> {
    let pointer: usize = tensor.call_method0(intern!(tensor.py(), "data_ptr"))?.extract()?;
    Ok(pointer == 0)
}

/// Whether it is a tensor or a parameter, not of a class that may compute by itself.
pub(crate) fn is_torchs_own(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static TENSOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static PARAMETER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let (py, class) = (value.py(), value.get_type());
    Ok(class.is(TENSOR.import(py, "torch", "Tensor")?)
        || class.is(PARAMETER.import(py, "torch.nn.parameter", "Parameter")?))
}

/// Whether a transform of `torch.func` goes through it; torch has no public word for it, and a torch that lost this one is asked
/// no more.
fn is_transformed(tensor: &Bound<'_, PyAny>) -> PyResult<bool> {
    static ASK: PyOnceLock<Option<Py<PyAny>>> = PyOnceLock::new();
    let py = tensor.py();
    let ask = ASK.get_or_init(py, || {
        let module = py.import("torch._C._functorch").ok()?;
        module.getattr("is_functorch_wrapped_tensor").ok().map(Bound::unbind)
    });
    ask.as_ref().map_or(Ok(false), |ask| ask.bind(py).call1((tensor,))?.is_truthy())
}

/// Where the first element lies, if the storage has every element.
pub(super) fn pointer(
    tensor: &Bound<'_, PyAny>,
    size: &[i64],
    stride: &[i64],
    width: usize,
) -> PyResult<Option<usize>> {
    let py = tensor.py();
    let pointer: usize = tensor.call_method0(intern!(py, "data_ptr"))?.extract()?;
    if size.contains(&0) {
        return Ok(Some(pointer));
    }
    let (room, offset) = storage(tensor)?;
    let last: i64 = size.iter().zip(stride).map(|(size, stride)| (size - 1) * stride).sum();
    Ok((pointer != 0 && room >= (offset + last as usize + 1) * width).then_some(pointer))
}

/// The bytes of its storage, and how many elements lie before its first there.
pub(super) fn storage(tensor: &Bound<'_, PyAny>) -> PyResult<(usize, usize)> {
    let py = tensor.py();
    let storage = tensor.call_method0(intern!(py, "untyped_storage"))?;
    let bytes = storage.call_method0(intern!(py, "nbytes"))?.extract()?;
    Ok((bytes, tensor.call_method0(intern!(py, "storage_offset"))?.extract()?))
}

/// The sizes of its dimensions.
pub(super) fn shape(tensor: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    integers(&tensor.getattr(intern!(tensor.py(), "shape"))?)
}

/// How many elements each dimension steps over.
pub(super) fn stride(tensor: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    integers(&tensor.call_method0(intern!(tensor.py(), "stride"))?)
}

/// A tuple's elements; a `torch.Size` is one.
fn integers(of: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    let of = of.cast::<PyTuple>()?;
    (0..of.len()).map(|at| of.get_borrowed_item(at)?.extract()).collect()
}

/// Whether torch knows that all elements are zeros, and never filled them in.
pub(super) fn is_zero(tensor: &Bound<'_, PyAny>) -> PyResult<bool> {
    tensor.call_method0(intern!(tensor.py(), "_is_zerotensor"))?.is_truthy()
}

/// Whether forward-mode differentiation goes through a tensor.
pub(super) fn has_tangent(tensor: &Bound<'_, PyAny>) -> PyResult<bool> {
    static FORWARD: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let py = tensor.py();
    let import = || py.import("torch.autograd.forward_ad").map(Bound::unbind);
    let forward = FORWARD.get_or_try_init(py, import)?.bind(py);
    if forward.getattr(intern!(py, "_current_level"))?.extract::<i64>()? < 0 {
        return Ok(false);
    }
    Ok(!forward.call_method1("unpack_dual", (tensor,))?.getattr("tangent")?.is_none())
}

/// The type in which `torch.autocast` computes matrix products on the tensor's device, where it is on.
pub(super) fn autocast_dtype(tensor: &Bound<'_, PyAny>, device: Device) -> PyResult<Option<DType>> {
    let py = tensor.py();
    let kind = match device {
        Device::Cpu => intern!(py, "cpu").clone().into_any(),
        _ => tensor.getattr(intern!(py, "device"))?.getattr(intern!(py, "type"))?,
    };
    let torch = torch(py)?;
    if !torch.call_method1(intern!(py, "is_autocast_enabled"), (&kind,))?.is_truthy()? {
        return Ok(None);
    }
    let object = torch.call_method1(intern!(py, "get_autocast_dtype"), (&kind,))?;
    for dtype in [DType::F16, DType::BF16, DType::F32] {
        if super::convert::dtype_object(py, dtype)?.is(&object) {
            return Ok(Some(dtype));
        }
    }
    Ok(None)
}

/// Keeps `torch.autocast` out of this thread's operations until it is dropped.
pub(super) struct NoAutocast(Option<Kept>);

impl NoAutocast {
    pub(super) fn new(tensor: &Bound<'_, PyAny>, device: Device) -> PyResult<Self> {
        if autocast_dtype(tensor, device)?.is_none() {
            return Ok(Self(None));
        }
        let py = tensor.py();
        let options = PyDict::new(py);
        options.set_item("enabled", false)?;
        let kind = tensor.getattr("device")?.getattr("type")?;
        let context = torch(py)?.call_method("autocast", (kind,), Some(&options))?;
        context.call_method0("__enter__")?;
        Ok(Self(Some(Kept::new(context))))
    }
}

impl Drop for NoAutocast {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            let _ = Python::attach(|py| {
                let nothing = py.None();
                context.bind(py).call_method1("__exit__", (&nothing, &nothing, &nothing)).map(drop)
            });
        }
    }
}
