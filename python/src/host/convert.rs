//! Tensors, types and devices between Python and the library.

use super::torch::torch;
use crate::errors;
use crate::kept::Kept;
use aent::tensor::{DType, Device, HostTensor, Tensor};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

/// A `torch.Tensor` as a host's tensor. What it looks like is asked once: a handle lives for a step, in which a tensor keeps its
/// shape.
#[derive(Clone, Debug)]
pub(super) struct PyTensor(Arc<Asked>);

#[derive(Debug)]
struct Asked {
    tensor: Kept,
    /// That operations take it, where that is known: an operation of this host made it, or it was looked at.
    usable: OnceLock<()>,
    size: OnceLock<Vec<i64>>,
    stride: OnceLock<Vec<i64>>,
    dtype: OnceLock<DType>,
    device: OnceLock<Device>,
}

impl PyTensor {
    fn new(tensor: Bound<'_, PyAny>, made: bool) -> Self {
        Self(Arc::new(Asked {
            tensor: Kept::new(tensor),
            usable: if made { OnceLock::from(()) } else { OnceLock::new() },
            size: OnceLock::new(),
            stride: OnceLock::new(),
            dtype: OnceLock::new(),
            device: OnceLock::new(),
        }))
    }

    /// What an operation gave.
    pub(super) fn boxed(tensor: Bound<'_, PyAny>) -> Box<dyn HostTensor> {
        Box::new(Self::new(tensor, true))
    }

    /// That operations take it, where that is known.
    pub(super) fn usable(&self) -> &OnceLock<()> {
        &self.0.usable
    }

    /// The `torch.Tensor`.
    pub(super) fn bind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.0.tensor.bind(py)
    }

    pub(super) fn size_or(&self, ask: impl FnOnce() -> Option<Vec<i64>>) -> Option<&Vec<i64>> {
        once(&self.0.size, ask)
    }

    pub(super) fn stride_or(&self, ask: impl FnOnce() -> Option<Vec<i64>>) -> Option<&Vec<i64>> {
        once(&self.0.stride, ask)
    }

    pub(super) fn dtype_or(&self, ask: impl FnOnce() -> Option<DType>) -> Option<DType> {
        once(&self.0.dtype, ask).copied()
    }

    pub(super) fn device_or(&self, ask: impl FnOnce() -> Option<Device>) -> Option<Device> {
        once(&self.0.device, ask).copied()
    }
}

fn once<T>(cell: &OnceLock<T>, ask: impl FnOnce() -> Option<T>) -> Option<&T> {
    match cell.get() {
        Some(known) => Some(known),
        None => ask().map(|found| cell.get_or_init(|| found)),
    }
}

/// Whether an object is a `torch.Tensor`.
pub(crate) fn is_tensor(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static TENSOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let class = TENSOR.get_or_try_init(py, || Ok::<_, PyErr>(torch(py)?.getattr("Tensor")?.unbind()))?;
    value.is_instance(class.bind(py))
}

/// A `torch.Tensor` as the library's tensor, shared.
pub(crate) fn of_python(tensor: Bound<'_, PyAny>) -> Tensor {
    Tensor::new(Box::new(PyTensor::new(tensor, false)))
}

/// The library's tensor as a `torch.Tensor`, shared.
pub(crate) fn to_python<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    let tensor = tensor.host_tensor().map_err(|error| errors::of_step(error.into()))?;
    Ok(operand(py, tensor)?.clone())
}

/// The operand of an operation, which must be of this host.
pub(super) fn operand<'a, 'py>(
    py: Python<'py>,
    tensor: &'a dyn HostTensor,
) -> PyResult<&'a Bound<'py, PyAny>> {
    let tensor = tensor.as_any().downcast_ref::<PyTensor>();
    let tensor =
        tensor.ok_or_else(|| PyTypeError::new_err("expected a `torch.Tensor`, found another host's"))?;
    Ok(tensor.bind(py))
}

/// The types with the names that torch has for them.
const DTYPES: [(DType, &str); 10] = [
    (DType::F32, "float32"),
    (DType::I64, "int64"),
    (DType::Bool, "bool"),
    (DType::F64, "float64"),
    (DType::BF16, "bfloat16"),
    (DType::F16, "float16"),
    (DType::U8, "uint8"),
    (DType::I32, "int32"),
    (DType::I8, "int8"),
    (DType::I16, "int16"),
];

fn dtype_objects(py: Python<'_>) -> PyResult<&[Py<PyAny>; DTYPES.len()]> {
    static OBJECTS: PyOnceLock<[Py<PyAny>; DTYPES.len()]> = PyOnceLock::new();
    OBJECTS.get_or_try_init(py, || {
        let torch = torch(py)?;
        let mut objects = Vec::new();
        for (_, name) in DTYPES {
            objects.push(torch.getattr(name)?.unbind());
        }
        Ok(objects.try_into().unwrap_or_else(|_| unreachable!("one object for each name")))
    })
}

/// torch's object for a type.
pub(super) fn dtype_object(py: Python<'_>, dtype: DType) -> PyResult<&Bound<'_, PyAny>> {
    let index = DTYPES.iter().position(|(of, _)| *of == dtype);
    let index = index.ok_or_else(|| PyTypeError::new_err(format!("no operation makes {dtype}")))?;
    Ok(dtype_objects(py)?[index].bind(py))
}

/// Arguments by name: the type, where one is given.
pub(super) fn options(py: Python<'_>, dtype: Option<DType>) -> PyResult<Bound<'_, PyDict>> {
    let options = PyDict::new(py);
    if let Some(dtype) = dtype {
        options.set_item(intern!(py, "dtype"), dtype_object(py, dtype)?)?;
    }
    Ok(options)
}

/// The type that a `torch.dtype` or its name stands for; none of anything else.
pub(crate) fn dtype_named(value: &Bound<'_, PyAny>) -> PyResult<Option<DType>> {
    if let Ok(name) = value.extract::<String>() {
        return Ok(DTYPES.iter().find(|(_, known)| *known == name).map(|(dtype, _)| *dtype));
    }
    let objects = dtype_objects(value.py())?;
    Ok(objects.iter().position(|known| value.is(known)).map(|index| DTYPES[index].0))
}

/// The type of a tensor.
pub(super) fn dtype(tensor: &Bound<'_, PyAny>) -> PyResult<DType> {
    let py = tensor.py();
    let object = tensor.getattr(intern!(py, "dtype"))?;
    let known = dtype_objects(py)?.iter().position(|known| object.is(known));
    if let Some(index) = known {
        return Ok(DTYPES[index].0);
    }
    let name = object.str()?.to_string();
    Ok(DType::Other(match name.trim_start_matches("torch.") {
        "uint16" => "u16",
        "uint32" => "u32",
        "uint64" => "u64",
        "complex32" | "complex64" | "complex128" => "complex numbers",
        "qint8" | "quint8" | "qint32" | "quint4x2" | "quint2x4" => "quantized numbers",
        other => kept(other),
    }))
}

/// Where a tensor lies.
pub(super) fn device(tensor: &Bound<'_, PyAny>) -> PyResult<Device> {
    let py = tensor.py();
    if tensor.getattr(intern!(py, "is_cpu"))?.is_truthy()? {
        return Ok(Device::Cpu);
    }
    if tensor.getattr(intern!(py, "is_cuda"))?.is_truthy()? {
        return Ok(Device::Cuda(tensor.call_method0(intern!(py, "get_device"))?.extract()?));
    }
    let name = tensor.getattr(intern!(py, "device"))?.str()?.to_string();
    Ok(Device::Other(kept(&name)))
}

/// A name for as long as the process runs; there are few.
fn kept(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = name.to_owned().leak();
    names.insert(name);
    name
}
