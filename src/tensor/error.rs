//! Why an operation on tensors failed.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The host's error from a failed operation. Cheap to clone: everything computed from the result shares it.
#[derive(Clone, Debug)]
pub struct TensorError(Arc<dyn Error + Send + Sync>);

impl TensorError {
    /// Wraps the host's own error, which [`Error::source`] returns.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// The host's own error, if it is of that type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for TensorError {
    /// The first line only: torch appends its own stack trace, which does not help here.
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
