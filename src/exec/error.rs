//! What can be wrong with a user's data.

use super::group::GroupError;
use crate::kernels::KernelError;
use crate::panic::panic_text;
use crate::tensor::TensorError;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An error at run time. Each names the thing, what was expected and what came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program reads a field that the batch does not bring.
    #[error("the batch has no `{name}`, which this program needs: expected {expected}")]
    MissingField {
        /// The field.
        name: String,
        /// Its type in words.
        expected: String,
    },
    /// A field of another shape, kind or device.
    #[error("`{name}`: expected {expected}, found {found}")]
    Field {
        /// The field.
        name: String,
        /// What the program needs.
        expected: String,
        /// What the batch brought.
        found: String,
    },
    /// A value that no computation could use.
    #[error("`{name}` at {place}: expected {expected}, found {found}")]
    Value {
        /// The field.
        name: String,
        /// Which element.
        place: String,
        /// What the program needs.
        expected: String,
        /// What stood there.
        found: String,
    },
    /// An object of a plugin could not compute.
    #[error("`{name}` of `{owner}`: {message}")]
    Object {
        /// The registered name.
        name: String,
        /// The crate.
        owner: String,
        /// What it said.
        message: String,
    },
    /// The parts of a step were not given as they have to be.
    #[error("{0}")]
    Step(String),
    /// Another process of the step could not do its part, or this is not its step.
    #[error("rank {rank}: {message}")]
    Rank {
        /// Which process.
        rank: usize,
        /// What it said.
        message: String,
    },
    /// The processes of a step could not exchange tensors.
    #[error("the ranks of this step cannot exchange tensors: {0}")]
    Group(GroupError),
    /// A saved state that does not belong here, or cannot be read.
    #[error("{0}")]
    State(String),
    /// The row statistics could not be computed.
    #[error(transparent)]
    Kernel(KernelError),
    /// The host refused an operation, for want of memory for instance.
    #[error("torch: {0}")]
    Torch(#[from] TensorError),
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        match error {
            // Below the language too, a tensor goes by the name of its field.
            KernelError::Tensor { name, expected, found } => {
                Self::Field { name: name.to_owned(), expected, found }
            }
            KernelError::Action { place, highest, found } => Self::Value {
                name: "actions".to_owned(),
                place: format!("{place:?}"),
                expected: format!("a token id in 0 .. {highest}"),
                found: found.to_string(),
            },
            other => Self::Kernel(other),
        }
    }
}

/// Runs something; a panic becomes an error, so that whoever waits for it hears of it.
pub(super) fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(Error::Step(format!("the step panicked: {}", panic_text(&*panic)))))
}

/// The result of everything that touches a user's data.
pub type Result<T> = std::result::Result<T, Error>;
