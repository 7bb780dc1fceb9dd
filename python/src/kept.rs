//! Objects of Python in what the library drops wherever it is.

use pyo3::prelude::*;

/// An object that is let go of with the GIL. What is dropped without it pyo3 puts on a list, whose lock a fork may leave closed.
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
