//! The host of Python's torch: every operation is a call of its public API, so any torch will do, on any device.

mod call;
mod convert;
mod memory;
mod names;
mod node;
mod operations;
mod state;
mod torch;

pub(crate) use convert::{dtype_named, is_tensor, of_python, to_python};
pub(crate) use node::Half;
pub(crate) use state::is_torchs_own;
pub(crate) use torch::Torch;
