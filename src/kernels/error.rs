//! What can go wrong below the language: tensors that do not fit, and the host itself.

use thiserror::Error;

use crate::tensor::TensorError;

/// Why row statistics could not be computed, or a device not be used.
#[derive(Debug, Error)]
pub enum KernelError {
    /// A tensor does not have the shape, kind, device or values that the statistics need.
    #[error("`{name}`: expected {expected}, found {found}")]
    Tensor {
        /// The batch field.
        name: &'static str,
        /// What would have been right.
        expected: String,
        /// What came.
        found: String,
    },
    /// An action that counts is no token of the vocabulary.
    #[error("`actions` at {place:?}: expected a token id in 0 .. {highest}, found {found}")]
    Action {
        /// Its sequence and its place there.
        place: [i64; 2],
        /// The highest token id.
        highest: i64,
        /// What stood there.
        found: i64,
    },
    /// A statistic, or a way to compute it, was asked for with an argument outside its range.
    #[error("`{what}`: expected {expected}, found {found}")]
    Request {
        /// The argument.
        what: &'static str,
        /// Its range.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// A kernel cannot be compiled, loaded or started on a GPU.
    #[error("CUDA: {0}")]
    Cuda(String),
    /// The threads that share the rows cannot be started.
    #[error("threads: {0}")]
    Threads(String),
    /// The host refused an operation, for want of memory for instance.
    #[error("torch: {0}")]
    Torch(#[from] TensorError),
}
