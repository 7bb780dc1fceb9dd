//! A small language for the losses of reinforcement learning on language models.

pub mod diag;
pub mod kernels;
pub mod source;
pub mod span;
pub mod syntax;
pub mod types;
