//! The error type of training.

use std::path::{Path, PathBuf};

/// Why a training run could not start or continue.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The specs, the task or the folder do not fit together; the sentence says what to change.
    #[error("{0}")]
    Refused(String),
    /// A spec is not a correct program; the text is its rendered diagnostics.
    #[error("`{}` is not a correct spec:\n{diagnostics}", .path.display())]
    Spec {
        /// The spec's file.
        path: PathBuf,
        /// Its diagnostics.
        diagnostics: String,
    },
    /// The library refused a batch or a saved state.
    #[error("{0}")]
    Loss(#[from] aent::Error),
    /// The library could not compute statistics of logits.
    #[error("{0}")]
    Kernel(#[from] aent::kernels::KernelError),
    /// A file could not be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    File {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A tensor of the library could not be computed.
    #[error("torch: {0}")]
    Tensor(#[from] aent::tensor::TensorError),
    /// Torch failed.
    #[error("torch: {0}")]
    Torch(#[from] tch::TchError),
}

impl TrainError {
    /// An error with this sentence.
    pub fn refused(sentence: impl Into<String>) -> Self {
        TrainError::Refused(sentence.into())
    }

    /// The same error of what a saved file holds, with the file's name.
    #[must_use]
    pub fn of_file(self, path: &Path) -> Self {
        TrainError::Refused(format!("cannot continue from `{}`: {self}", path.display()))
    }

    /// For `map_err` on file operations.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| TrainError::File { action, path, source }
    }
}
