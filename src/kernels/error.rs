//! What can go wrong below the language: tensors that do not fit, and libtorch itself.

use std::path::PathBuf;

use tch::{Kind, TchError};
use thiserror::Error;

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
    /// libtorch's CUDA library is there but cannot be loaded.
    #[error("`{}` cannot be loaded: {reason}", path.display())]
    CudaLibrary {
        /// The file.
        path: PathBuf,
        /// What the dynamic linker says.
        reason: String,
    },
    /// A kernel cannot be compiled, loaded or started on a GPU.
    #[error("CUDA: {0}")]
    Cuda(String),
    /// libtorch refused an operation, for want of memory for instance.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// A kind of tensor as users write it.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Uint8 => "u8",
        Kind::Int8 => "i8",
        Kind::Int16 => "i16",
        Kind::Int => "i32",
        Kind::Int64 => "i64",
        Kind::Half => "f16",
        Kind::Float => "f32",
        Kind::Double => "f64",
        Kind::BFloat16 => "bf16",
        Kind::Bool => "bool",
        Kind::ComplexHalf | Kind::ComplexFloat | Kind::ComplexDouble => "complex numbers",
        _ => "another kind",
    }
}
