//! What a step gives.

use crate::errors::{self, guarded};
use crate::host::{of_python, to_python};
use crate::lock::{Forked, Lock};
use crate::turns::Turn;
use aent::Session;
use aent::tensor::Tensor;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::collections::BTreeMap;

/// The loss of a step with everything reported beside it. Numbers stay on the device until they are asked for.
///
/// It can be pickled and deep-copied without its graph: the copy has a detached loss and the same numbers, and cannot be
/// observed. ``copy.copy`` gives the output itself.
#[pyclass(module = "aent", frozen)]
pub(crate) struct Output {
    loss: Py<PyAny>,
    losses: Vec<(String, Py<PyAny>)>,
    // Tensors may go from thread to thread, but not be used by two at once.
    whole: Lock<Whole>,
    turn: Turn,
}

enum Whole {
    /// Of a step of this process.
    Step(aent::Output),
    /// What was pickled of one.
    Copy(Numbers),
}

struct Numbers {
    total: f64,
    totals: BTreeMap<String, f64>,
    metrics: BTreeMap<String, f64>,
    signals: BTreeMap<String, f64>,
    findings: Vec<String>,
    tokens: i64,
    lets: Vec<(String, Tensor)>,
}

impl Output {
    /// A step whose loss is that of the whole.
    pub(crate) fn new(py: Python<'_>, whole: aent::Output) -> PyResult<Self> {
        let loss = whole.loss().clone();
        let losses = whole.losses().map(|(name, loss)| (name.to_owned(), loss.clone())).collect();
        Self::with_share(py, &loss, losses, whole)
    }

    /// A step of which this process computes a share.
    pub(crate) fn with_share(
        py: Python<'_>,
        share: &Tensor,
        losses: Vec<(String, Tensor)>,
        whole: aent::Output,
    ) -> PyResult<Self> {
        let loss = to_python(py, share)?.unbind();
        let losses = losses.into_iter().map(|(name, loss)| Ok((name, to_python(py, &loss)?.unbind())));
        let losses = losses.collect::<PyResult<_>>()?;
        Ok(Self { loss, losses, whole: Lock::new(Whole::Step(whole)), turn: Turn::new() })
    }

    /// Moves the controllers of a session. Call it without the GIL: another thread may be looking.
    pub(crate) fn observed_by(&self, session: &mut Session) -> aent::Result<()> {
        self.with(|whole| match whole {
            Whole::Step(step) => session.update(step),
            Whole::Copy(_) => Err(aent::Error::Step(
                "expected the output of a step, found a copy of one: update with the output that the program gave"
                    .to_owned(),
            )),
        })
    }

    fn with<T>(&self, look: impl FnOnce(&Whole) -> aent::Result<T>) -> aent::Result<T> {
        if self.turn.is_mine() {
            return Err(aent::Error::Step(
                "this output is being read: expected a call from outside of that".to_owned(),
            ));
        }
        // Nothing is half-changed by a panic: an output is only read.
        let whole = self.whole.lock().map_err(|Forked| {
            aent::Error::Step(
                "this output was being read in another thread when this process was forked: expected one of a step of \
                 this process"
                    .to_owned(),
            )
        })?;
        self.turn.inside(|| look(&whole))
    }

    /// Numbers may have to be waited for.
    fn read<T: Send>(
        &self,
        py: Python<'_>,
        step: impl FnOnce(&aent::Output) -> aent::Result<T> + Send,
        copy: impl FnOnce(&Numbers) -> T + Send,
    ) -> PyResult<T> {
        guarded(|| {
            let found = py.detach(|| {
                self.with(|whole| match whole {
                    Whole::Step(of) => step(of),
                    Whole::Copy(of) => Ok(copy(of)),
                })
            });
            found.map_err(errors::of_step)
        })
    }
}

#[pymethods]
impl Output {
    /// The loss, a scalar under the caller's autograd; of a step over ranks this rank's share, see
    /// ``Program.forward``.
    #[getter]
    fn loss(&self, py: Python<'_>) -> Py<PyAny> {
        self.loss.clone_ref(py)
    }

    /// The losses by name, each a scalar as ``loss`` is, which is their sum; empty where the loss has no name. Where several
    /// of them read the logits, add them up before the backward pass, or keep the graph (``retain_graph=True``).
    #[getter]
    fn losses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let losses = PyDict::new(py);
        for (name, loss) in &self.losses {
            losses.set_item(name, loss)?;
        }
        Ok(losses)
    }

    /// What each ``assert`` that does not hold says, with the formula, what was found, and the place.
    #[getter]
    pub(crate) fn findings(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.read(py, aent::Output::findings, |copy| copy.findings.clone())
    }

    /// The whole step's loss.
    #[getter]
    fn total(&self, py: Python<'_>) -> PyResult<f64> {
        self.read(py, aent::Output::total, |copy| copy.total)
    }

    /// The whole step's losses by name; empty where the loss has no name.
    #[getter]
    fn totals(&self, py: Python<'_>) -> PyResult<BTreeMap<String, f64>> {
        self.read(py, aent::Output::totals, |copy| copy.totals.clone())
    }

    /// The file's ``metric``s, of the whole step.
    #[getter]
    fn metrics(&self, py: Python<'_>) -> PyResult<BTreeMap<String, f64>> {
        self.read(py, aent::Output::metrics, |copy| copy.metrics.clone())
    }

    /// What the controllers will observe, of the whole step.
    #[getter]
    fn signals(&self, py: Python<'_>) -> PyResult<BTreeMap<String, f64>> {
        self.read(py, aent::Output::signals, |copy| copy.signals.clone())
    }

    /// How many valid tokens the whole step has.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> PyResult<i64> {
        self.read(py, aent::Output::tokens, |copy| copy.tokens)
    }

    /// Every ``let``, zero where masked; only of programs compiled with ``lets=True``.
    #[getter]
    fn lets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let named = self.read(
            py,
            |step| Ok(step.lets().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()),
            |copy| copy.lets.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect::<Vec<_>>(),
        )?;
        let dict = PyDict::new(py);
        for (name, tensor) in named {
            dict.set_item(name, to_python(py, &tensor)?)?;
        }
        Ok(dict)
    }

    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let rebuild = py.import("aent._aent")?.getattr("copied_output")?;
        let loss = self.loss.bind(py).call_method0("detach")?;
        let losses = PyDict::new(py);
        for (name, loss) in &self.losses {
            losses.set_item(name, loss.bind(py).call_method0("detach")?)?;
        }
        let (total, totals, metrics) = (self.total(py)?, self.totals(py)?, self.metrics(py)?);
        let (signals, findings) = (self.signals(py)?, self.findings(py)?);
        let (tokens, lets) = (self.tokens(py)?, self.lets(py)?);
        let arguments = (loss, losses, total, totals, metrics, signals, findings, tokens, lets);
        Ok((rebuild, arguments.into_pyobject(py)?))
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

/// What ``pickle`` and ``copy.deepcopy`` make of an output.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "`__reduce__` alone calls it")]
pub(crate) fn copied_output(
    loss: Py<PyAny>,
    losses: &Bound<'_, PyDict>,
    total: f64,
    totals: BTreeMap<String, f64>,
    metrics: BTreeMap<String, f64>,
    signals: BTreeMap<String, f64>,
    findings: Vec<String>,
    tokens: i64,
    lets: BTreeMap<String, Bound<'_, PyAny>>,
) -> PyResult<Output> {
    let lets = lets.into_iter().map(|(name, tensor)| (name, of_python(tensor))).collect();
    let copy = Numbers { total, totals, metrics, signals, findings, tokens, lets };
    let losses = losses.iter().map(|(name, loss)| Ok((name.extract()?, loss.unbind())));
    let losses = losses.collect::<PyResult<_>>()?;
    Ok(Output { loss, losses, whole: Lock::new(Whole::Copy(copy)), turn: Turn::new() })
}
