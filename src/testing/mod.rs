//! What a plugin author tests with: generated batches, a gradient check, and the suite that every registered
//! entry must pass.

mod case;
mod conformance;
mod gradient;
mod outcome;
mod strategy;

pub use case::{Case, Leaves};
pub use conformance::{Conformance, conformance};
pub use gradient::gradient_matches_differences;
pub use outcome::{Outcome, distance};
pub use strategy::{Extent, rough, sample, smooth};
