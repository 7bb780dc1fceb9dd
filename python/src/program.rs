//! A compiled file with the state of its controllers.

use crate::accumulation::Accumulation;
use crate::batch::Names;
use crate::errors;
use crate::output::Output;
use crate::ranks::{self, Joined};
use aent::plan::FirstPass;
use aent::program::Op;
use aent::{Session, SessionState, fields};
use aent_show::{Colour, Size};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

/// A program in use; the stub file documents it.
#[pyclass(module = "aent", frozen)]
pub(crate) struct Program {
    // Waited for without the GIL only: who holds it may need the GIL for a term in Python.
    session: RwLock<Session>,
    names: Names,
}

impl Program {
    /// A program at step zero.
    pub(crate) fn new(session: Session) -> Self {
        let names = Names::of(session.program());
        Self { session: RwLock::new(session), names }
    }

    // Observing and restoring put a whole state in place of another, so a panic leaves none half-made.
    fn read<T: Send>(&self, py: Python<'_>, read: impl FnOnce(&Session) -> T + Send) -> T {
        py.allow_threads(|| read(&self.session.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn write<T: Send>(&self, py: Python<'_>, write: impl FnOnce(&mut Session) -> T + Send) -> T {
        py.allow_threads(|| write(&mut self.session.write().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[pymethods]
impl Program {
    #[pyo3(signature = (batch = None, /, *, group = None, process_group = None, gradients = "mean", **fields))]
    fn step(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyMapping>>,
        group: Option<&Bound<'_, PyAny>>,
        process_group: Option<&Bound<'_, PyAny>>,
        gradients: &str,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Output> {
        let joined = Joined::named(gradients)?;
        let (named, ranks) = ranks::split(py, fields, group, process_group)?;
        let batch = self.names.read(batch, Some(&named))?;
        let Some(ranks) = ranks else {
            let output = self.read(py, move |session| session.step(&batch)).map_err(errors::of_step)?;
            return Output::new(py, output);
        };
        let group = ranks.clone();
        let (share, whole) =
            self.read(py, move |session| session.step_over(&batch, group)).map_err(errors::of_step)?;
        Output::with_share(py, joined.share(share.loss(), Some(&ranks)), whole)
    }

    #[pyo3(signature = (*, group = None, gradients = "mean", tokens = None, sequences = None, width = None))]
    fn accumulate(
        &self,
        py: Python<'_>,
        group: Option<&Bound<'_, PyAny>>,
        gradients: &str,
        tokens: Option<i64>,
        sequences: Option<i64>,
        width: Option<i64>,
    ) -> PyResult<Accumulation> {
        let joined = Joined::named(gradients)?;
        let (_, ranks) = ranks::split(py, None, None, group)?;
        let mut parts = self.read(py, Session::accumulate);
        if let Some(ranks) = &ranks {
            parts = parts.over(ranks.clone()).map_err(errors::of_step)?;
        }
        match (tokens, sequences, width) {
            (None, None, None) => {}
            (Some(tokens), Some(sequences), Some(width)) => {
                parts = parts.with_counts(tokens, sequences, width).map_err(errors::of_step)?;
            }
            _ => {
                return Err(PyTypeError::new_err(
                    "`accumulate`: expected `tokens`, `sequences` and `width` together, or none of them",
                ));
            }
        }
        Ok(Accumulation::new(parts, self.names.clone(), ranks, joined))
    }

    fn observe(&self, py: Python<'_>, output: &Output) -> PyResult<()> {
        self.write(py, |session| output.with(|whole| session.observe(whole))).map_err(errors::of_step)
    }

    #[pyo3(signature = (batch = None, /, **fields))]
    fn find_nonfinite(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyMapping>>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<String>> {
        let batch = self.names.read(batch, fields)?;
        let found = self.read(py, move |session| session.find_nonfinite(&batch)).map_err(errors::of_step)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    fn state_dict(&self, py: Python<'_>) -> PyResult<PyObject> {
        let state = self.read(py, Session::state);
        Ok(pythonize::pythonize(py, &state)?.unbind())
    }

    fn load_state_dict(&self, py: Python<'_>, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let state: SessionState = pythonize::depythonize(state)
            .map_err(|error| errors::of_state(format!("expected what `state_dict()` gave: {error}")))?;
        self.write(py, |session| session.restore(state)).map_err(errors::of_step)
    }

    #[pyo3(signature = (*, sequences = 8, length = 1024, vocabulary = 151_936))]
    fn explain(&self, py: Python<'_>, sequences: u64, length: u64, vocabulary: u64) -> String {
        let size = Size { sequences, length, vocabulary };
        self.read(py, |session| aent_show::explain(session.program(), size))
    }

    #[getter]
    fn steps(&self, py: Python<'_>) -> u64 {
        self.read(py, Session::steps)
    }

    #[getter]
    fn coefficients(&self, py: Python<'_>) -> BTreeMap<String, f64> {
        self.read(py, Session::coefficients)
    }

    #[getter]
    fn params(&self, py: Python<'_>) -> BTreeMap<String, f64> {
        self.read(py, |session| {
            session.program().params.iter().map(|param| (param.name.clone(), param.value)).collect()
        })
    }

    #[getter]
    fn temperature(&self, py: Python<'_>) -> f64 {
        self.read(py, |session| session.program().temperature)
    }

    #[getter]
    fn fields(&self, py: Python<'_>) -> BTreeSet<String> {
        self.read(py, |session| {
            let program = session.program();
            let named = program.fields().chain(["response_mask"]);
            let mut fields: BTreeSet<String> = named.map(str::to_owned).collect();
            let reads_rows = program.nodes.iter().any(|node| matches!(node.op, Op::Row(_)));
            if reads_rows {
                fields.insert(fields::POLICY.logits.to_owned());
            }
            if program.nodes.iter().any(|node| matches!(node.op, Op::LogProb(_))) {
                fields.extend(["log_prob".to_owned(), "actions".to_owned()]);
            }
            fields
        })
    }

    #[getter]
    fn first_pass(&self, py: Python<'_>) -> &'static str {
        self.read(py, |session| match session.plan().first_pass {
            FirstPass::Counts => "counts",
            FirstPass::Fields => "fields",
            FirstPass::Model => "model",
        })
    }

    #[getter]
    fn warnings(&self, py: Python<'_>) -> String {
        self.read(py, |session| {
            let program = session.program();
            aent_show::text(program.warnings(), program.sources(), Colour::Plain)
        })
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        self.read(py, |session| {
            format!("Program(step={}, coefficients={:?})", session.steps(), session.coefficients())
        })
    }

    fn __str__(&self, py: Python<'_>) -> String {
        self.read(py, |session| session.program().to_string())
    }
}
