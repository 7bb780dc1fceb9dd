//! The library's errors as Python's exceptions, which `package/aent/errors.py` defines, and Python's own exceptions where
//! those came first.

use crate::leaving;
use aent::Error;
use aent::diag::Diagnostics;
use aent::source::Sources;
use aent::tensor::TensorError;
use aent_show::Colour;
use pyo3::exceptions::{PyException, PyIndexError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

pyo3::import_exception!(aent.errors, BatchError);
pyo3::import_exception!(aent.errors, SpecError);
pyo3::import_exception!(aent.errors, StateError);
pyo3::import_exception!(aent.errors, StepError);

thread_local! {
    /// The exception of Python's that the library knows as text only.
    static RAISED: RefCell<Option<Raised>> = const { RefCell::new(None) };

    /// How many calls of [`guarded`] this thread is inside of.
    static GUARDS: Cell<usize> = const { Cell::new(0) };
}

/// An exception of Python code that ran below the library.
enum Raised {
    /// Of what the library called: a term, or the exchange between ranks. The library's error says more than it.
    Called(PyErr),
    /// Of what torch called, such as a hook or a mode: torch would have let it through.
    Torch(PyErr),
}

/// Keeps an exception for the error that the library makes of it.
pub(crate) fn keep_cause(py: Python<'_>, error: PyErr) {
    // What is raised while others are told of an error is not its cause.
    if RAISED.with_borrow(Option::is_none) || passes(py, &error) {
        RAISED.set(Some(Raised::Called(error)));
    }
}

/// What an operation's exception is to the library. What code of Python raised below it, such as a hook or a mode, is kept, so
/// that it comes out as it was raised; torch's own refusals get the library's words around them.
pub(crate) fn of_torch(py: Python<'_>, error: PyErr) -> TensorError {
    let own = error.traceback(py).is_none()
        && [py.get_type::<PyRuntimeError>(), py.get_type::<PyIndexError>(), py.get_type::<PyTypeError>()]
            .iter()
            .any(|class| error.get_type(py).is(class));
    if own {
        return TensorError::new(error.value(py).to_string());
    }
    let text = words(py, &error);
    RAISED.set(Some(Raised::Torch(error)));
    TensorError::new(text)
}

/// The words of what came out of torch as it was raised.
pub(crate) fn left() -> Option<String> {
    RAISED.with_borrow(|raised| match raised {
        Some(Raised::Torch(raised)) => Some(Python::attach(|py| words(py, raised))),
        _ => None,
    })
}

/// What ends a backward pass: what torch or Python raised below it, or the library's own words.
pub(crate) fn of_backward(text: String) -> PyErr {
    match RAISED.take() {
        Some(Raised::Torch(raised)) => raised,
        _ => PyRuntimeError::new_err(text),
    }
}

/// What was kept, if it is no `Exception`; what else was kept is forgotten.
pub(crate) fn interrupted(py: Python<'_>) -> Option<PyErr> {
    match RAISED.take()? {
        Raised::Called(raised) if passes(py, &raised) => Some(raised),
        _ => None,
    }
}

/// What went wrong with a batch, a step or a state.
pub(crate) fn of_step(error: Error) -> PyErr {
    of_fields(error, &[])
}

/// The same of a step whose batch had tensors of other classes: what torch makes of them is theirs.
pub(crate) fn of_fields(error: Error, others: &[String]) -> PyErr {
    Python::attach(|py| {
        let raised = RAISED.take();
        let mut text = error.to_string();
        if !others.is_empty() && matches!(error, Error::Field { .. } | Error::Kernel(_) | Error::Torch(_)) {
            text = format!("{text}; {}", others.join(", "));
        }
        let cause = match raised {
            Some(Raised::Torch(raised)) => return raised,
            Some(Raised::Called(raised)) if passes(py, &raised) => return raised,
            Some(Raised::Called(raised)) => Some(raised),
            None => None,
        };
        let error = match error {
            Error::MissingField { .. } | Error::Field { .. } | Error::Value { .. } => {
                BatchError::new_err(text)
            }
            Error::State(_) => StateError::new_err(text),
            _ => StepError::new_err(text),
        };
        error.set_cause(py, cause);
        error
    })
}

/// Runs what Python called. A panic becomes an error, as `except Exception` expects, and nothing stays behind for the next
/// call.
pub(crate) fn guarded<T>(run: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    RAISED.take();
    let _inside = (GUARDS.get() == 0).then(leaving::enter);
    GUARDS.set(GUARDS.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(run));
    GUARDS.set(GUARDS.get() - 1);
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(of_step(Error::Step(format!("this should not happen: {text}"))))
    });
    match (RAISED.take(), &result) {
        // A mode raised where only a question was asked.
        (Some(Raised::Torch(raised)), Ok(_)) => Err(raised),
        _ => result,
    }
}

/// Keeps panics from printing where an exception says the same: torch stops a recomputation by making its own operations
/// fail, which is no news.
pub(crate) fn quiet_where_guarded() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if GUARDS.get() == 0 {
            print(panic);
        }
    }));
}

/// An exception in one line, for whoever has no Python.
pub(crate) fn words(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    match error.value(py).str() {
        Ok(text) if text.len().is_ok_and(|length| length > 0) => {
            if is_ours(py, error) {
                text.to_string()
            } else {
                format!("{name}: {text}")
            }
        }
        _ => name,
    }
}

/// Whether nobody may make another exception of it: what is no `Exception` ends programs, and torch stops a recomputation
/// by an exception that it looks for.
fn passes(py: Python<'_>, error: &PyErr) -> bool {
    let class = error.get_type(py);
    let is = |module: &str, name: &str| {
        let found = class.module().ok().zip(class.name().ok());
        found.is_some_and(|(of, called)| of == module && called == name)
    };
    !error.is_instance_of::<PyException>(py) || is("torch.utils.checkpoint", "_StopRecomputationError")
}

fn is_ours(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<BatchError>(py)
        || error.is_instance_of::<StateError>(py)
        || error.is_instance_of::<StepError>(py)
}

/// A term in Python that does not keep what it declared.
pub(crate) fn of_term(text: String) -> PyErr {
    PyTypeError::new_err(text)
}

/// A batch that cannot be read, in one sentence.
pub(crate) fn of_batch(text: impl Into<String>) -> PyErr {
    BatchError::new_err(text.into())
}

/// A step that cannot go on, in one sentence.
pub(crate) fn of_turn(text: impl Into<String>) -> PyErr {
    StepError::new_err(text.into())
}

/// A state that is none, in one sentence.
pub(crate) fn of_state(text: impl Into<String>) -> PyErr {
    StateError::new_err(text.into())
}

/// Warns of what a step found, at the caller of the package.
pub(crate) fn warn_of_step(py: Python<'_>, finding: &str) -> PyResult<()> {
    let category = py.import("aent.errors")?.getattr("StepWarning")?;
    let words = CString::new(finding.replace('\0', " "))?;
    PyErr::warn(py, &category, &words, 1)
}

/// A text that is no program: the drawn diagnostics, and the same as data.
pub(crate) fn of_spec(py: Python<'_>, found: &Diagnostics, sources: &Sources) -> PyErr {
    let text = aent_show::text(found, sources, Colour::Plain);
    match pythonize::pythonize(py, &aent_show::json(found, sources)) {
        Ok(data) => SpecError::new_err((text.trim_end().to_owned(), data.unbind())),
        Err(error) => error.into(),
    }
}
