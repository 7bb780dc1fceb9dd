//! A step that comes in micro-batches.

use crate::batch::Names;
use crate::errors;
use crate::output::Output;
use crate::ranks::Joined;
use aent::{Batch, Error, Group};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};
use pyo3_tch::PyTensor;
use std::sync::{Arc, Mutex, PoisonError};

/// A step that comes in micro-batches, cut along B in any way::
///
///     step = program.accumulate()
///     for part in parts:
///         step.measure(part)
///     for part in parts:
///         step.step(part).backward()
///     optimizer.step()
///     program.observe(step.finish())
///
/// The shares' gradients add up to the gradient of the whole step's loss, and ``finish`` gives the whole step's metrics
/// and signals.
#[pyclass(module = "aent", frozen)]
pub(crate) struct Accumulation {
    // Waited for without the GIL only: who holds it may need the GIL for a term in Python.
    parts: Mutex<Option<aent::Accumulation>>,
    names: Names,
    ranks: Option<Arc<dyn Group>>,
    joined: Joined,
}

impl Accumulation {
    /// A step whose parts are yet to come.
    pub(crate) fn new(
        parts: aent::Accumulation,
        names: Names,
        ranks: Option<Arc<dyn Group>>,
        joined: Joined,
    ) -> Self {
        Self { parts: Mutex::new(Some(parts)), names, ranks, joined }
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Option<aent::Accumulation>) -> aent::Result<T> + Send,
    ) -> PyResult<T> {
        let result = py.allow_threads(|| act(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner)));
        result.map_err(errors::of_step)
    }

    fn on_part<T: Send>(
        &self,
        py: Python<'_>,
        batch: Batch,
        act: impl FnOnce(&mut aent::Accumulation, &Batch) -> aent::Result<T> + Send,
    ) -> PyResult<T> {
        self.with(py, move |parts| act(parts.as_mut().ok_or_else(finished)?, &batch))
    }
}

fn finished() -> Error {
    Error::Step("the step is finished; `program.accumulate()` begins the next".to_owned())
}

#[pymethods]
impl Accumulation {
    /// Looks at a part before any part gives its share. It costs a look at the mask, unless the program needs more of
    /// the whole step (``Program.explain`` says which).
    #[pyo3(signature = (batch = None, /, **fields))]
    fn measure(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyMapping>>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let batch = self.names.read(batch, fields)?;
        self.on_part(py, batch, aent::Accumulation::measure)
    }

    /// A part's share of the loss, in the order in which the parts were measured.
    #[pyo3(signature = (batch = None, /, **fields))]
    fn step<'py>(
        &self,
        py: Python<'py>,
        batch: Option<&Bound<'py, PyMapping>>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch = self.names.read(batch, fields)?;
        let share = self.on_part(py, batch, |parts, batch| Ok(parts.step(batch)?.loss().shallow_clone()))?;
        PyTensor(self.joined.share(&share, self.ranks.as_ref())).into_pyobject(py)
    }

    /// The whole step's loss (without gradient), metrics and signals, for ``Program.observe``.
    fn finish(&self, py: Python<'_>) -> PyResult<Output> {
        let output = self.with(py, |parts| parts.take().ok_or_else(finished)?.finish())?;
        Output::new(py, output)
    }
}
