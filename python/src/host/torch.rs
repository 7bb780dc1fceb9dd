//! The library itself: its functions, and settings of a thread.

use super::convert::{PyTensor, dtype_object};
use super::state::{failed, interrupting};
use super::{memory, names};
use aent::tensor::{DType, Device, Guard, Host, Made, TensorError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::ffi::c_void;
use std::path::PathBuf;

/// Python's torch.
#[derive(Debug)]
pub(crate) struct Torch;

/// The module `torch`.
pub(super) fn torch(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(MODULE
        .get_or_try_init(py, || {
            let required = py.import("aent.version")?.call_method0("require_torch")?;
            Ok::<_, PyErr>(required.cast_into::<PyModule>()?.unbind())
        })?
        .bind(py))
}

/// torch's object for the CPU, which it reads faster than the name.
fn cpu(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CPU: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = || Ok::<_, PyErr>(torch(py)?.call_method1("device", ("cpu",))?.unbind());
    Ok(CPU.get_or_try_init(py, made)?.bind(py))
}

impl Host for Torch {
    fn name(&self) -> &'static str {
        "torch"
    }

    fn tensor(&self, dtype: DType, size: &[i64], bytes: &[u8]) -> Made {
        interrupting(|py| {
            let torch = torch(py)?;
            let options = PyDict::new(py);
            options.set_item(intern!(py, "dtype"), dtype_object(py, dtype)?)?;
            // Else a mode that sets a default device would have it.
            options.set_item(intern!(py, "device"), cpu(py)?)?;
            let tensor = torch.call_method(intern!(py, "empty"), names::sizes(py, size)?, Some(&options))?;
            memory::write(&tensor, dtype, bytes)?;
            Ok(PyTensor::boxed(tensor))
        })
    }

    fn record_gradient(&self, record: bool) -> Guard {
        Box::new(RecordGradient::new(record))
    }

    fn unlocked(&self, work: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(work));
    }

    fn threads(&self) -> usize {
        Python::attach(|py| torch(py)?.call_method0("get_num_threads")?.extract()).unwrap_or(1)
    }

    fn cuda_devices(&self) -> Result<usize, TensorError> {
        let count = Python::attach(|py| -> PyResult<usize> {
            let cuda = torch(py)?.getattr("cuda")?;
            if !cuda.call_method0("is_available")?.extract::<bool>()? {
                return Ok(0);
            }
            cuda.call_method0("device_count")?.extract()
        });
        match count {
            Ok(0) => Err(TensorError::new("this machine has no GPU that this torch can reach")),
            Ok(count) => Ok(count),
            Err(error) => Err(failed(error)),
        }
    }

    fn synchronize(&self, device: Device) {
        if let Device::Cuda(ordinal) = device {
            // A device that cannot be waited for makes no result either, and that is told.
            let _ = Python::attach(|py| {
                torch(py)?.getattr("cuda")?.call_method1("synchronize", (ordinal,)).map(drop)
            });
        }
    }

    fn cuda_stream(&self, ordinal: usize) -> Result<*mut c_void, TensorError> {
        let stream = Python::attach(|py| -> PyResult<usize> {
            let cuda = torch(py)?.getattr("cuda")?;
            cuda.call_method1("current_stream", (ordinal,))?.getattr("cuda_stream")?.extract()
        });
        stream.map(|stream| stream as *mut c_void).map_err(failed)
    }

    fn packages(&self) -> Option<PathBuf> {
        let file: PyResult<PathBuf> = Python::attach(|py| torch(py)?.getattr("__file__")?.extract());
        Some(file.ok()?.parent()?.parent()?.to_owned())
    }
}

/// Whether this thread records what a gradient needs.
struct RecordGradient {
    before: bool,
    record: bool,
}

impl RecordGradient {
    fn new(record: bool) -> Self {
        let before = Python::attach(|py| -> PyResult<bool> {
            let before = torch(py)?.call_method0(intern!(py, "is_grad_enabled"))?.extract()?;
            if before != record {
                set_recording(py, record)?;
            }
            Ok(before)
        });
        Self { before: before.unwrap_or(record), record }
    }
}

impl Drop for RecordGradient {
    fn drop(&mut self) {
        if self.before != self.record {
            let _ = Python::attach(|py| set_recording(py, self.before));
        }
    }
}

/// Torch's public class sets the mode as soon as it is made, and so does the function behind it, which costs a tenth.
fn set_recording(py: Python<'_>, record: bool) -> PyResult<()> {
    static SET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let set = SET.get_or_try_init(py, || {
        let torch = torch(py)?;
        let behind = torch.getattr("_C").and_then(|module| module.getattr("_set_grad_enabled"));
        Ok::<_, PyErr>(behind.or_else(|_| torch.getattr("set_grad_enabled"))?.unbind())
    })?;
    set.bind(py).call1((record,)).map(drop)
}
