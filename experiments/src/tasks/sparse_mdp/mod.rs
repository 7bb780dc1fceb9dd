//! The synthetic problem of the AEnt paper, as far as it is known: very many actions, few of which are rewarded.
//!
//! The paper's figure gives the number of actions, the numbers of optimal ones, the steps and the curves; the rest is a
//! reconstruction. `docs/sparse-mdp.md` says which is which, and shows the results.

mod charts;
pub mod closed_form;
mod curves;
mod facts;
mod learner;
mod problem;
mod published;
mod rows;
mod sampling;
mod settings;

use std::path::Path;

use crate::error::TrainError;
use crate::report::run::{Columns, Scale, Series};
use crate::tasks::{Conclusion, Learner, Start, Task};

pub use settings::{PRESETS, Settings};

/// The spec without an entropy term, by its file name.
const NONE: &str = "no_entropy";
/// The spec with the full entropy.
const FULL: &str = "full_entropy";
/// The spec with the clamped entropy and a fixed coefficient.
const CLAMPED: &str = "clamped_entropy";
/// The spec with the clamped entropy and a controlled coefficient.
const AENT: &str = "aent";
/// The specs that the findings compare.
const ROLES: [&str; 4] = [NONE, FULL, CLAMPED, AENT];

/// The task `sparse-mdp`.
pub struct SparseMdp {
    settings: Settings,
}

impl SparseMdp {
    /// The task with these settings.
    pub fn new(settings: Settings) -> Self {
        SparseMdp { settings }
    }
}

impl Task for SparseMdp {
    fn name(&self) -> &'static str {
        "sparse-mdp"
    }

    fn summary(&self) -> &'static str {
        "one-step contexts with up to 100,000 actions of which 15, 10, 5 or 1 pay: the AEnt paper's synthetic problem, \
         reconstructed"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["logits", "actions", "response_mask", "advantages", "whole"]
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.settings.pairs()
    }

    fn steps(&self) -> u64 {
        self.settings.steps
    }

    fn seeds(&self) -> u64 {
        self.settings.seeds
    }

    fn cases(&self) -> Vec<String> {
        self.settings.optimal.iter().map(|n| case(*n)).collect()
    }

    fn series(&self) -> Vec<Series> {
        let n = self.settings.optimal[0];
        let series = |key: &str, label: &str, unit: &str, columns| Series {
            key: key.to_string(),
            label: format!("{label}, {n} optimal actions"),
            unit: unit.to_string(),
            columns: Some(columns),
            ..Series::default()
        };
        vec![
            series("reward", "reward: mean success probability", "", Columns::Last),
            series("solved", "share of contexts with success above one half", "", Columns::Last),
            series("entropy", "entropy", "nats", Columns::FirstAndLast),
            series("clamped_entropy", "clamped entropy", "nats", Columns::None),
            Series {
                scale: Scale::Log,
                ..series("coefficient", "coefficient of the entropy term", "", Columns::None)
            },
        ]
    }

    fn checkpoint_every(&self) -> u64 {
        200
    }

    fn start(&self, start: &Start<'_>) -> Result<Box<dyn Learner>, TrainError> {
        let n = self.settings.optimal.iter().find(|n| case(**n) == start.case);
        let n =
            *n.ok_or_else(|| TrainError::refused(format!("`sparse-mdp` has no case `{}`", start.case)))?;
        Ok(Box::new(learner::Table::new(&self.settings, start, n)?))
    }

    fn conclude(&self, folder: &Path) -> Result<Conclusion, TrainError> {
        let curves = curves::Curves::read(folder, &self.settings.optimal)?;
        Ok(charts::conclude(&curves, &self.settings))
    }
}

/// The name of the case with `n` optimal actions.
fn case(n: i64) -> String {
    format!("{n}-optimal")
}
