//! Runs a program on tensors.

mod accumulate;
mod batch;
mod differences;
mod error;
mod evaluate;
mod fit;
mod frozen;
mod gathered;
mod given;
mod group;
mod meeting;
mod nonfinite;
mod output;
mod part;
mod recognise;
mod session;
mod share;
mod state;
mod state_v1;
mod value;
mod whole;

pub use accumulate::Accumulation;
pub use batch::Batch;
pub use error::{Error, Result};
pub use fit::Fit;
pub use group::{GroupError, ProcessGroup};
pub use nonfinite::NonFinite;
pub use output::{Output, PartOutput};
pub use session::{Options, Session};
pub use state::{SavedController, SessionState};
