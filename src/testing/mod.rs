//! Test support for plugin authors: generated batches, a gradient check, ranks as threads, and the suite that every
//! registered entry must pass.

mod case;
mod conformance;
mod gradient;
mod outcome;
mod ranks;
mod strategy;

pub use case::{Case, LISTED, Leaves};
pub use conformance::{Conformance, conformance};
pub use gradient::gradient_matches_differences;
pub use outcome::{Outcome, distance};
pub use ranks::on_ranks;
pub use strategy::{Extent, rough, sample, smooth};
