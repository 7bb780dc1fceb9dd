//! Run-time errors.

use crate::kernels::KernelError;
use crate::panic::panic_text;
use crate::tensor::TensorError;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The transport's error when ranks could not exchange tensors.
pub type GroupError = Box<dyn std::error::Error + Send + Sync>;

/// An error at run time. Each names its subject, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The batch lacks a field that the program reads.
    #[error("the batch has no `{name}`, which this program needs: expected {expected}")]
    MissingField {
        /// The field.
        name: String,
        /// Its type in words.
        expected: String,
    },
    /// A field has the wrong shape, kind or device.
    #[error("`{name}`: expected {expected}, found {found}")]
    Field {
        /// The field.
        name: String,
        /// What the program needs.
        expected: String,
        /// What the batch has.
        found: String,
    },
    /// A field holds an invalid value.
    #[error("`{name}` at {place}: expected {expected}, found {found}")]
    Value {
        /// The field.
        name: String,
        /// Which element.
        place: String,
        /// What the program needs.
        expected: String,
        /// The value.
        found: String,
    },
    /// A plugin's term, reduction or controller failed.
    #[error("`{name}` of `{owner}`: {message}")]
    Object {
        /// The registered name.
        name: String,
        /// The crate that registered it.
        owner: String,
        /// Its error message.
        message: String,
    },
    /// A step failed or was used wrongly, for example with a part that was not measured.
    #[error("{0}")]
    Step(String),
    /// Another rank failed, or is computing a different step.
    #[error("rank {rank}: {message}")]
    Rank {
        /// The rank.
        rank: usize,
        /// Its error message.
        message: String,
    },
    /// The ranks of a step could not exchange tensors.
    #[error("the ranks of this step cannot exchange tensors: {0}")]
    Group(GroupError),
    /// A saved state does not fit this program, or cannot be read.
    #[error("{0}")]
    State(String),
    /// The row statistics could not be computed.
    #[error(transparent)]
    Kernel(KernelError),
    /// The host refused an operation, for example because memory ran out.
    #[error("torch: {0}")]
    Torch(#[from] TensorError),
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        match error {
            // Kernels call a tensor by the name of its field.
            KernelError::Tensor { name, expected, found } => {
                Self::Field { name: name.to_owned(), expected, found }
            }
            KernelError::Action { place, highest, found } => Self::Value {
                name: "actions".to_owned(),
                place: format!("{place:?}"),
                expected: format!("a token id in 0 .. {highest}"),
                found: found.to_string(),
            },
            KernelError::Listed { name, place, expected, found } => {
                Self::Value { name: name.to_owned(), place: format!("{place:?}"), expected, found }
            }
            KernelError::Rank { rank, message } => Self::Rank { rank, message },
            KernelError::Group(error) => Self::Group(error),
            other => Self::Kernel(other),
        }
    }
}

/// Catches a panic in `run` and returns it as an error, which the waiting ranks then receive.
pub(super) fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(Error::Step(format!("the step panicked: {}", panic_text(&*panic)))))
}

/// A result with this crate's run-time error.
pub type Result<T> = std::result::Result<T, Error>;
