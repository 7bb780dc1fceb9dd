//! Errors below the language: tensors that do not fit, and failures of the host.

use std::error::Error as StdError;

use thiserror::Error;

use crate::tensor::TensorError;

/// Why row statistics could not be computed, or a device could not be used.
#[derive(Debug, Error)]
pub enum KernelError {
    /// A tensor does not have the shape, kind, device or values that the statistics need.
    #[error("`{name}`: expected {expected}, found {found}")]
    Tensor {
        /// The batch field.
        name: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// An action that counts is not a token id of the vocabulary.
    #[error("`actions` at {place:?}: expected a token id in 0 .. {highest}, found {found}")]
    Action {
        /// Its sequence and its position there.
        place: [i64; 2],
        /// The highest token id.
        highest: i64,
        /// The id found.
        found: i64,
    },
    /// A list of token ids that counts has a wrong one.
    #[error("`{name}` at {place:?}: expected {expected}, found {found}")]
    Listed {
        /// The batch field.
        name: &'static str,
        /// Its sequence and its position there.
        place: [i64; 2],
        /// What its ids have to be.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A statistic, or an option, was requested with an argument outside its range.
    #[error("`{what}`: expected {expected}, found {found}")]
    Request {
        /// The argument.
        what: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value found.
        found: String,
    },
    /// A kernel cannot be compiled, loaded or started on a GPU.
    #[error("CUDA: {0}")]
    Cuda(String),
    /// The threads that share the rows cannot be started.
    #[error("threads: {0}")]
    Threads(String),
    /// Another rank that holds a shard of the vocabulary failed, or computes something else.
    #[error("rank {rank}: {message}")]
    Rank {
        /// The rank.
        rank: usize,
        /// Its error message.
        message: String,
    },
    /// The ranks that hold the shards of a vocabulary could not exchange tensors.
    #[error("the ranks of this vocabulary cannot exchange tensors: {0}")]
    Group(Box<dyn StdError + Send + Sync>),
    /// The host refused an operation, for lack of memory for instance.
    #[error("torch: {0}")]
    Torch(#[from] TensorError),
}
