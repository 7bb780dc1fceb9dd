//! Calls on a tensor.

use super::convert::{PyTensor, options};
use super::memory;
use super::state::interrupting;
use aent::tensor::{DType, Device, HostTensor, Made};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

impl PyTensor {
    /// What a call on the tensor gives.
    pub(super) fn made_by<'py>(
        &self,
        py: Python<'py>,
        call: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Box<dyn HostTensor>> {
        call(self.bind(py)).map(Self::boxed)
    }

    /// The type as an argument by name, unless the tensor has it, which new tensors take over.
    pub(super) fn other<'py>(&self, py: Python<'py>, dtype: DType) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.dtype() == dtype { Ok(None) } else { options(py, Some(dtype)).map(Some) }
    }

    pub(super) fn call0(&self, name: impl FnOnce(Python<'_>) -> &Bound<'_, PyString>) -> Made {
        interrupting(|py| self.made_by(py, |x| x.call_method0(name(py))))
    }

    /// Whether every element is known to lie strictly between the bounds. On the CPU a look costs less than the node of a clamp
    /// that changes nothing, and that node costs five operations on the way back.
    pub(super) fn lies_between(&self, low: Option<f64>, high: Option<f64>) -> bool {
        if self.device() != Device::Cpu || !matches!(self.dtype(), DType::F32 | DType::F64) {
            return false;
        }
        let (low, high) = (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY));
        let bytes = self.size().iter().product::<i64>() as usize * self.dtype().bytes();
        self.ask(|x| {
            let place = memory::plain(x, self.dtype(), self.dtype(), bytes)?;
            Ok(place.is_some_and(|place| memory::lies_between(&place, self.dtype(), low, high)))
        })
        .unwrap_or(false)
    }

    /// Asks the tensor. What a mode raises meanwhile is the next operation's error.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Option<T> {
        interrupting(|py| ask(self.bind(py))).ok()
    }
}
