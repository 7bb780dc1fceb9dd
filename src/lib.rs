//! A small language for the losses of reinforcement learning on language models.

mod check;
pub mod diag;
pub mod interval;
pub mod kernels;
pub mod load;
pub mod fields;
mod near;
pub mod plugin;
pub mod program;
pub mod source;
pub mod span;
pub mod syntax;
pub mod types;

#[doc(hidden)]
pub extern crate self as aent;
