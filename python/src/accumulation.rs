//! A step that comes in micro-batches.

use crate::batch::{Given, Names};
use crate::errors::{self, guarded};
use crate::host::to_python;
use crate::lock::{Forked, Lock};
use crate::output::Output;
use crate::ranks::{self, Spread};
use crate::turns::Turn;
use aent::{Batch, Error};
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::BTreeMap;

/// A step that comes in micro-batches, cut along B in any way::
///
///     step = program.accumulate()
///     for part in parts:
///         step.measure(part)
///     for part in parts:
///         step(part).backward()
///     optimizer.step()
///     program.update(step.finish())
///
/// The shares' gradients add up to the gradient of the whole step's loss, and ``finish`` gives the whole step's metrics
/// and signals.
#[pyclass(module = "aent", frozen)]
pub(crate) struct Accumulation {
    parts: Lock<Option<aent::Accumulation>>,
    names: Names,
    spread: Spread,
    /// Whether other ranks hold other shards of the vocabulary.
    in_shards: bool,
    turn: Turn,
    /// Of the program whose step it is.
    program: Turn,
}

impl Accumulation {
    /// A step whose parts are yet to come.
    pub(crate) fn new(
        parts: aent::Accumulation,
        names: Names,
        spread: Spread,
        in_shards: bool,
        program: Turn,
    ) -> Self {
        Self { parts: Lock::new(Some(parts)), names, spread, in_shards, turn: Turn::new(), program }
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        others: &[String],
        act: impl FnOnce(&mut Option<aent::Accumulation>) -> aent::Result<T> + Send,
    ) -> PyResult<T> {
        if self.turn.is_mine() {
            return Err(errors::of_turn(
                "a part of this step is being computed: expected a call from outside of it",
            ));
        }
        let result = py.detach(|| {
            let mut parts = self.parts.lock().map_err(torn)?;
            self.turn.inside(|| self.program.inside(|| act(&mut parts)))
        });
        result.map_err(|error| errors::of_fields(error, others))
    }

    fn on_part<T: Send>(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyDict>>,
        act: impl FnOnce(&mut aent::Accumulation, &Batch) -> aent::Result<T> + Send,
    ) -> PyResult<T> {
        let Given { batch, others, .. } = match guarded(|| self.names.read(batch, fields)) {
            Ok(given) => given,
            Err(raised) => return Err(self.give_up(py, raised)),
        };
        self.with(py, &others, move |parts| act(parts.as_mut().ok_or_else(finished)?, &batch))
    }

    /// Tells the other ranks of an exception, and gives back what to raise. Without ranks the step can go on.
    fn give_up(&self, py: Python<'_>, raised: PyErr) -> PyErr {
        if (self.spread.is_alone() && !self.in_shards) || self.turn.is_mine() {
            return raised;
        }
        ranks::tell(py, raised, |text| {
            // Whoever computes a part in the process that this one was forked from tells of its own errors.
            if let Ok(mut parts) = self.parts.lock()
                && let Some(parts) = parts.as_mut()
            {
                parts.fail(text);
            }
        })
    }
}

/// How many groups a step has.
#[derive(FromPyObject)]
pub(crate) enum Groups {
    /// By the field `group`.
    One(i64),
    /// By field.
    Each(BTreeMap<String, i64>),
}

impl Groups {
    pub(crate) fn by_field(self) -> BTreeMap<String, i64> {
        match self {
            Self::One(count) => BTreeMap::from([("group".to_owned(), count)]),
            Self::Each(counts) => counts,
        }
    }
}

fn torn(_: Forked) -> Error {
    Error::Step(
        "a part of this step was being computed in another thread when this process was forked; \
         `program.accumulate()` begins another step"
            .to_owned(),
    )
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
        batch: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        guarded(|| self.on_part(py, batch, fields, aent::Accumulation::measure))
    }

    /// A part's share of the loss, ``accumulation(part)``. Parts come in any order; each is recognised by what was measured of
    /// it.
    ///
    /// Raises:
    ///     StepError: no measured part is like this one, or the parts bring more than the counts given to
    ///         ``Program.accumulate``.
    #[pyo3(signature = (batch = None, /, **fields))]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        batch: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let share =
                self.on_part(py, batch, fields, |parts, batch| Ok(parts.forward(batch)?.loss().clone()))?;
            let share = self.spread.share(&share)?;
            to_python(py, &share)
        })
    }

    /// The same for a file with several losses: the part's share of each, by name.
    ///
    /// Raises:
    ///     StepError: as for ``forward``.
    #[pyo3(signature = (batch = None, /, **fields))]
    fn losses<'py>(
        &self,
        py: Python<'py>,
        batch: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        guarded(|| {
            let share = self.on_part(py, batch, fields, aent::Accumulation::forward)?;
            let losses = PyDict::new(py);
            for (name, loss) in share.losses() {
                losses.set_item(name, to_python(py, &self.spread.share(loss)?)?)?;
            }
            Ok(losses)
        })
    }

    #[pyo3(signature = (batch = None, /, **fields))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        batch: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.forward(py, batch, fields)
    }

    /// Gives the step up on all ranks, for a reason that lies outside of it: a batch that cannot be loaded, a model that
    /// raised. The others get a ``StepError`` with these words where they come together next, instead of waiting; this
    /// returns when they have come there. What ``measure``, ``forward`` and ``finish`` raise has been told already.
    fn fail(&self, py: Python<'_>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let text = match error.cast::<PyBaseException>() {
                Ok(_) => errors::words(py, &PyErr::from_value(error.clone())),
                Err(_) => error.str()?.to_string(),
            };
            self.with(py, &[], |parts| {
                if let Some(parts) = parts {
                    parts.fail(&text);
                }
                Ok(())
            })?;
            errors::interrupted(py).map_or(Ok(()), Err)
        })
    }

    /// The whole step's loss (without gradient), metrics and signals, for ``Program.update``.
    fn finish(&self, py: Python<'_>) -> PyResult<Output> {
        guarded(|| {
            let output = self.with(py, &[], |parts| parts.take().ok_or_else(finished)?.finish())?;
            Output::new(py, output)
        })
    }
}
