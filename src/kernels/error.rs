//! What can go wrong below the language: tensors that do not fit, and libtorch itself.

use std::any::Any;
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
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] TchError),
}

/// What libtorch says, without the trace of its own stack that it appends, which helps nobody here.
pub(crate) fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().filter(|line| !line.is_empty()).unwrap_or("an operation failed").to_owned()
}

/// What a panic said, in one line.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    text.lines().next().unwrap_or_default()
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
        Kind::QInt8 | Kind::QUInt8 | Kind::QInt32 => "quantized numbers",
        Kind::Float8e5m2 => "float8_e5m2",
        Kind::Float8e4m3fn => "float8_e4m3fn",
        Kind::Float8e5m2fnuz => "float8_e5m2fnuz",
        Kind::Float8e4m3fnuz => "float8_e4m3fnuz",
    }
}
