//! What a step gives.

use crate::errors::{self, guarded};
use crate::turns::Turn;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_tch::PyTensor;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The loss of a step with everything reported beside it; the stub file documents its parts.
#[pyclass(module = "aent", frozen)]
pub(crate) struct Output {
    loss: PyObject,
    // Tensors may go from thread to thread, but not be used by two at once.
    whole: Mutex<aent::Output>,
    turn: Turn,
}

impl Output {
    /// A step whose loss is that of the whole.
    pub(crate) fn new(py: Python<'_>, whole: aent::Output) -> PyResult<Self> {
        let loss = whole.loss().shallow_clone();
        Self::with_share(py, loss, whole)
    }

    /// A step of which this process computes a share.
    pub(crate) fn with_share(
        py: Python<'_>,
        share: pyo3_tch::tch::Tensor,
        whole: aent::Output,
    ) -> PyResult<Self> {
        let loss = PyTensor(share).into_pyobject(py)?.into_any().unbind();
        Ok(Self { loss, whole: Mutex::new(whole), turn: Turn::new() })
    }

    /// Looks at the whole step. Call it without the GIL: another thread may be looking.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&aent::Output) -> aent::Result<T>) -> aent::Result<T> {
        if self.turn.is_mine() {
            return Err(aent::Error::Step(
                "this output is being read: expected a call from outside of that".to_owned(),
            ));
        }
        // Nothing is half-changed by a panic: an output is only read.
        self.turn.inside(|| look(&self.whole.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Numbers may have to be waited for.
    fn read<T: Send>(
        &self,
        py: Python<'_>,
        look: impl FnOnce(&aent::Output) -> aent::Result<T> + Send,
    ) -> PyResult<T> {
        guarded(|| py.allow_threads(|| self.with(look)).map_err(errors::of_step))
    }
}

#[pymethods]
impl Output {
    #[getter]
    fn loss(&self, py: Python<'_>) -> PyObject {
        self.loss.clone_ref(py)
    }

    #[getter]
    fn total(&self, py: Python<'_>) -> PyResult<f64> {
        self.read(py, |whole| Ok(whole.loss().f_double_value(&[])?))
    }

    #[getter]
    fn metrics(&self, py: Python<'_>) -> PyResult<BTreeMap<String, f64>> {
        self.read(py, aent::Output::metrics)
    }

    #[getter]
    fn signals(&self, py: Python<'_>) -> PyResult<BTreeMap<String, f64>> {
        self.read(py, aent::Output::signals)
    }

    #[getter]
    fn tokens(&self, py: Python<'_>) -> PyResult<i64> {
        self.read(py, aent::Output::tokens)
    }

    #[getter]
    fn lets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let named = self.read(py, |whole| {
            Ok(whole
                .lets()
                .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
                .collect::<Vec<_>>())
        })?;
        let dict = PyDict::new(py);
        for (name, tensor) in named {
            dict.set_item(name, PyTensor(tensor))?;
        }
        Ok(dict)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "Output(total={}, metrics={:?}, signals={:?})",
            self.total(py)?,
            self.metrics(py)?,
            self.signals(py)?
        ))
    }
}
