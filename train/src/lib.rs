//! The training tasks built into `aent train`, their runner and their report.

pub mod error;
pub mod optimizer;
pub mod report;
pub mod runner;
pub mod tasks;

pub use error::TrainError;
pub use runner::{Outcome, TrainOptions, train};
