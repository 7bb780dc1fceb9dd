//! The experiments of `aent train`: losses trained side by side on built-in tasks, and the report that compares them.

pub mod error;
pub mod optimizer;
pub mod report;
pub mod runner;
pub mod tasks;

pub use error::TrainError;
pub use runner::{Outcome, TrainOptions, train};
