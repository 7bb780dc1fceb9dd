//! A compiled file with the state of its controllers.

use crate::accumulation::Accumulation;
use crate::batch::{Given, Names};
use crate::errors::{self, guarded};
use crate::output::Output;
use crate::ranks::{self, Joined};
use crate::turns::Turn;
use aent::plan::FirstPass;
use aent::program::Op;
use aent::{Session, SessionState, fields};
use aent_show::{Colour, Size};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A program in use; the stub file documents it.
#[pyclass(module = "aent", frozen)]
pub(crate) struct Program {
    /// As it is now. Nobody holds the lock while anything is computed: a step goes on with the session that it began with,
    /// so that its terms and hooks in Python may look at the program meanwhile.
    session: RwLock<Arc<Session>>,
    // Waited for without the GIL only: who writes may need it for what runs below torch's operations.
    writing: Mutex<()>,
    names: Names,
    turn: Turn,
}

impl Program {
    /// A program at step zero.
    pub(crate) fn new(session: Session) -> Self {
        let names = Names::of(session.program());
        let session = RwLock::new(Arc::new(session));
        Self { session, writing: Mutex::new(()), names, turn: Turn::new() }
    }

    fn now(&self) -> Arc<Session> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a step.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        others: &[String],
        run: impl FnOnce(&Session) -> aent::Result<T> + Send,
    ) -> PyResult<T> {
        let session = self.now();
        let result = py.allow_threads(|| self.turn.inside(|| run(&session)));
        result.map_err(|error| errors::of_fields(error, others))
    }

    /// Puts a changed session in place of the one that is there, or none.
    fn write(
        &self,
        py: Python<'_>,
        call: &str,
        write: impl FnOnce(&mut Session) -> aent::Result<()> + Send,
    ) -> PyResult<()> {
        if self.turn.is_mine() {
            let text =
                format!("`{call}` inside of a step of the same program: call it when the step is computed");
            return Err(errors::of_turn(text));
        }
        let result = py.allow_threads(|| {
            let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut session = Session::clone(&self.now());
            self.turn.inside(|| write(&mut session))?;
            *self.session.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(session);
            Ok(())
        });
        result.map_err(errors::of_step)
    }
}

#[pymethods]
impl Program {
    #[pyo3(signature = (batch = None, /, *, group = None, process_group = None, gradients = "mean", **fields))]
    fn step(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyAny>>,
        group: Option<&Bound<'_, PyAny>>,
        process_group: Option<&Bound<'_, PyAny>>,
        gradients: &str,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Output> {
        guarded(|| {
            let (named, ranks) = ranks::split(py, fields, group, process_group)?;
            let given = guarded(|| Ok((Joined::named(gradients)?, self.names.read(batch, Some(&named))?)));
            let (joined, Given { batch, others }) = match (given, &ranks) {
                (Ok(given), _) => given,
                (Err(raised), Some(ranks)) => return Err(ranks::give_up(py, &self.now(), ranks, raised)),
                (Err(raised), None) => return Err(raised),
            };
            let Some(ranks) = ranks else {
                let output = self.run(py, &others, move |session| session.step(&batch))?;
                return Output::new(py, output);
            };
            let group = ranks.clone();
            let (share, whole) = self.run(py, &others, move |session| session.step_over(&batch, group))?;
            Output::with_share(py, joined.share(share.loss(), Some(&ranks))?, whole)
        })
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
        guarded(|| {
            let (_, ranks) = ranks::split(py, None, None, group)?;
            let session = self.now();
            let begun = guarded(|| {
                let joined = Joined::named(gradients)?;
                let mut parts = session.accumulate();
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
                Ok((parts, joined))
            });
            match (begun, ranks) {
                (Ok((parts, joined)), ranks) => {
                    Ok(Accumulation::new(parts, self.names.clone(), ranks, joined, self.turn))
                }
                (Err(raised), Some(ranks)) => Err(ranks::give_up(py, &session, &ranks, raised)),
                (Err(raised), None) => Err(raised),
            }
        })
    }

    fn observe(&self, py: Python<'_>, output: &Output) -> PyResult<()> {
        guarded(|| self.write(py, "observe", |session| output.with(|whole| session.observe(whole))))
    }

    fn state_dict(&self, py: Python<'_>) -> PyResult<PyObject> {
        guarded(|| Ok(pythonize::pythonize(py, &self.now().state())?.unbind()))
    }

    fn load_state_dict(&self, py: Python<'_>, state: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let state: SessionState = pythonize::depythonize(state)
                .map_err(|error| errors::of_state(format!("expected what `state_dict()` gave: {error}")))?;
            self.write(py, "load_state_dict", |session| session.restore(state))
        })
    }

    #[pyo3(signature = (*, sequences = 8, length = 1024, vocabulary = 151_936))]
    fn explain(&self, sequences: u64, length: u64, vocabulary: u64) -> String {
        let size = Size { sequences, length, vocabulary };
        aent_show::explain(self.now().program(), size)
    }

    #[getter]
    fn steps(&self) -> u64 {
        self.now().steps()
    }

    #[getter]
    fn coefficients(&self) -> BTreeMap<String, f64> {
        self.now().coefficients()
    }

    #[getter]
    fn params(&self) -> BTreeMap<String, f64> {
        let session = self.now();
        session.program().params.iter().map(|param| (param.name.clone(), param.value)).collect()
    }

    #[getter]
    fn temperature(&self) -> f64 {
        self.now().program().temperature
    }

    #[getter]
    fn fields(&self) -> BTreeSet<String> {
        let session = self.now();
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
    }

    #[getter]
    fn first_pass(&self) -> &'static str {
        match self.now().plan().first_pass {
            FirstPass::Counts => "counts",
            FirstPass::Fields => "fields",
            FirstPass::Model => "model",
        }
    }

    #[getter]
    fn warnings(&self) -> String {
        let session = self.now();
        let program = session.program();
        aent_show::text(program.warnings(), program.sources(), Colour::Plain)
    }

    fn __repr__(&self) -> String {
        let session = self.now();
        format!("Program(step={}, coefficients={:?})", session.steps(), session.coefficients())
    }

    fn __str__(&self) -> String {
        self.now().program().to_string()
    }
}
