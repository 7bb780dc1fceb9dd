//! Python objects inside of values that Rust may drop without the GIL.

use pyo3::prelude::*;

/// A Python object that is released with the GIL held. pyo3 queues an object that is dropped without the GIL, behind a lock that
/// stays locked in a child if the process forks in that moment.
#[derive(Debug)]
pub(crate) struct Kept(Option<Py<PyAny>>);

impl Kept {
    /// Keeps an object.
    pub(crate) fn new(object: Bound<'_, PyAny>) -> Self {
        Self(Some(object.unbind()))
    }

    /// The object.
    pub(crate) fn bind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.0.as_ref().expect("only `drop` takes it").bind(py)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let object = self.0.take();
        // Where the interpreter is gone, nobody needs its memory.
        Python::try_attach(move |_| drop(object));
    }
}
