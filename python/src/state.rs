//! What a program remembers, as Python hands it over, and what of it was taken up.

use crate::errors;
use aent::{Error, Fit, Session, SessionState};
use pyo3::prelude::*;
use pyo3::types::PyMapping;
use std::collections::BTreeMap;

/// What ``Program.load_state_dict`` took up of a saved state, and what it left.
#[pyclass(module = "aent", frozen, get_all)]
pub(crate) struct Restored {
    /// The controllers that go on from the saved state.
    taken: Vec<String>,
    /// The controllers that the saved state does not have; they stay as they are.
    missing: Vec<String>,
    /// The controllers of the saved state that the program does not have.
    unexpected: Vec<String>,
    /// The controllers that differ, each with how; they stay as they are.
    changed: BTreeMap<String, String>,
    /// What was left and why, a clause for each controller.
    words: Vec<String>,
}

impl Restored {
    pub(crate) fn new(fit: Fit) -> Self {
        let words = fit.words();
        let Fit { taken, missing, unexpected, changed, .. } = fit;
        Self { taken, missing, unexpected, changed: changed.into_iter().collect(), words }
    }
}

#[pymethods]
impl Restored {
    fn __repr__(&self) -> String {
        let taken = self.taken.iter().map(|name| format!("controller `{name}`: taken"));
        let left = self.words.iter().cloned();
        format!("<{}>", taken.chain(left).collect::<Vec<_>>().join("; "))
    }
}

/// A state from Python. `None` and an empty dictionary are that of a file without controllers.
pub(crate) fn read(state: Option<&Bound<'_, PyAny>>) -> PyResult<SessionState> {
    let Some(state) = state else { return Ok(SessionState::default()) };
    if state.cast::<PyMapping>().is_ok_and(|state| state.len().is_ok_and(|length| length == 0)) {
        return Ok(SessionState::default());
    }
    pythonize::depythonize(state)
        .map_err(|error| errors::of_state(format!("expected what `state_dict()` gave: {error}")))
}

/// Takes a state up: all of it, or what fits.
pub(crate) fn take_up(session: &mut Session, state: SessionState, strict: bool) -> Result<Fit, Error> {
    if strict {
        let way = "`strict=False` takes up what fits and keeps the others as they are";
        if let Some(refusal) = session.fit(&state)?.refusal(way) {
            return Err(Error::State(refusal));
        }
    }
    session.restore_matching(state)
}
