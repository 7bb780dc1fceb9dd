//! The library's errors as Python's exceptions, which `package/aent/errors.py` defines.

use aent::Error;
use aent::diag::Diagnostics;
use aent::source::Sources;
use aent_show::Colour;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::cell::RefCell;

pyo3::import_exception!(aent.errors, BatchError);
pyo3::import_exception!(aent.errors, SpecError);
pyo3::import_exception!(aent.errors, StateError);
pyo3::import_exception!(aent.errors, StepError);

thread_local! {
    /// The exception of a term in Python, which the library knows as text only.
    static CAUSE: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Keeps an exception for the error that the library makes of it.
pub(crate) fn keep_cause(error: PyErr) {
    CAUSE.set(Some(error));
}

/// What went wrong with a batch, a step or a state.
pub(crate) fn of_step(error: Error) -> PyErr {
    let text = error.to_string();
    let cause = CAUSE.take();
    match error {
        Error::MissingField { .. } | Error::Field { .. } | Error::Value { .. } => BatchError::new_err(text),
        Error::State(_) => StateError::new_err(text),
        _ => {
            let error = StepError::new_err(text);
            Python::with_gil(|py| error.set_cause(py, cause));
            error
        }
    }
}

/// A term in Python that does not keep what it declared.
pub(crate) fn of_term(text: String) -> PyErr {
    PyTypeError::new_err(text)
}

/// A batch that cannot be read, in one sentence.
pub(crate) fn of_batch(text: impl Into<String>) -> PyErr {
    BatchError::new_err(text.into())
}

/// A state that is none, in one sentence.
pub(crate) fn of_state(text: impl Into<String>) -> PyErr {
    StateError::new_err(text.into())
}

/// A text that is no program: the drawn diagnostics, and the same as data.
pub(crate) fn of_spec(py: Python<'_>, found: &Diagnostics, sources: &Sources) -> PyErr {
    let text = aent_show::text(found, sources, Colour::Plain);
    match pythonize::pythonize(py, &aent_show::json(found, sources)) {
        Ok(data) => SpecError::new_err((text.trim_end().to_owned(), data.unbind())),
        Err(error) => error.into(),
    }
}
