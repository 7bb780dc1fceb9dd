//! Why an operation on tensors failed.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What the host said when it refused an operation. Cheap to clone: all that was computed from the result has the same.
#[derive(Clone, Debug)]
pub struct TensorError(Arc<dyn Error + Send + Sync>);

impl TensorError {
    /// The host's own error, which [`Error::source`] gives back.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// The host's own error, if it is of that type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for TensorError {
    /// The first line: torch appends the trace of its own stack, which helps nobody here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.lines().next().filter(|line| !line.is_empty()).unwrap_or("an operation failed"))
    }
}

impl Error for TensorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
