//! How entropy is clamped when a task measures it: as the first spec that clamps does.

use crate::error::TrainError;
use crate::runner::Objective;
use crate::runner::schedule::SpecFile;
use crate::tasks::{Kept, Probe};

/// The probe that suits the specs of a run.
pub(super) fn probe(specs: &[SpecFile], _overrides: &[(String, f64)]) -> Result<Probe, TrainError> {
    let clamping = specs.iter().find(|spec| spec.text.contains("clamped_entropy("));
    let drop = clamping.and_then(|spec| Objective::declared(&spec.text, "drop"));
    let low = clamping.and_then(|spec| Objective::declared(&spec.text, "low"));
    let high = clamping.and_then(|spec| Objective::declared(&spec.text, "high"));
    Ok(Probe { kept: drop.map_or(Kept::All, Kept::Drop), band: low.zip(high).map(|(low, high)| [low, high]) })
}
