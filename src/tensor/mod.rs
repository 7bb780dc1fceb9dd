//! Tensors of the host, through an interface that does not depend on torch.
//!
//! A [`Tensor`] is a cheap handle with operators, so that formulas read like formulas. A host (tch, or Python's torch)
//! implements [`HostTensor`] and [`Host`]. An operation that fails gives a failed tensor: everything computed from it
//! fails too, and reading it or calling [`Tensor::ok`] gives the first error. So `eval` of a term needs no `?` at every
//! operation, and its error still carries the term's name.

mod arithmetic;
mod device;
mod dtype;
mod error;
mod gradient;
mod handle;
mod host;
mod index;
mod memory;
mod ops;
mod reduce;
mod shape;

pub use device::Device;
pub use dtype::DType;
pub use error::TensorError;
pub use gradient::{Backward, Differentiated};
pub use handle::Tensor;
pub use host::{Guard, Host, HostTensor, Made, Unusable};
pub use memory::Element;
pub use ops::{Axis, Binary, Operand, Reduce, Reshape, Scalar, Scatter, Unary};
