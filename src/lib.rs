//! A small language for the losses of reinforcement learning on language models.

mod check;
mod compile;
mod control;
pub mod diag;
mod exec;
pub mod fields;
pub mod interval;
pub mod kernels;
pub mod load;
mod near;
pub mod plan;
pub mod plugin;
pub mod program;
mod reductions;
pub mod source;
pub mod span;
pub mod syntax;
mod terms;
#[cfg(feature = "testing")]
pub mod testing;
pub mod types;

pub use check::{BUILTINS, Builtin};
pub use compile::{Compiler, Failure, compile, compile_file};
pub use exec::{Accumulation, Batch, Error, Options, Output, PartOutput, Result, Session, SessionState};
pub use kernels::Kernels;
pub use program::Program;

#[doc(hidden)]
pub extern crate self as aent;
