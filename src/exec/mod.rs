//! Runs a program on tensors.

mod accumulate;
mod batch;
mod counts;
mod error;
mod evaluate;
mod facts;
mod formulas;
mod frozen;
mod output;
mod part;
mod ranks;
mod saved;
mod session;
mod setup;
mod shards;
mod tally;
mod value;

pub use accumulate::Accumulation;
pub use batch::Batch;
pub use counts::Counts;
pub use error::{Error, GroupError, Result};
pub use output::{Output, PartOutput};
pub use ranks::ProcessGroup;
pub use saved::{Fit, SavedController, SessionState};
pub use session::{Bound, Diagnosis, NonFinite, Session, Summand};
pub use setup::Options;
pub use shards::{Order, SequenceShards};
