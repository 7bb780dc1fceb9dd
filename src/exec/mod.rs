//! Runs a program on tensors.

mod accumulate;
mod batch;
mod differences;
mod error;
mod evaluate;
mod frozen;
mod gathered;
mod group;
mod meeting;
mod nonfinite;
mod output;
mod part;
mod session;
mod share;
mod state;
mod value;
mod whole;

pub use accumulate::{Accumulation, PartOutput};
pub use batch::Batch;
pub use error::{Error, Result};
pub use group::{Group, GroupError};
pub use nonfinite::NonFinite;
pub use output::Output;
pub use session::{Options, Session};
pub use state::SessionState;
