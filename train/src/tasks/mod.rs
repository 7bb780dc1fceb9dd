//! The problems that specs are trained on: what a task is, and the list of those built in.

pub mod arithmetic;
pub mod sparse_mdp;

use std::collections::BTreeMap;
use std::path::Path;

use aent::kernels::{KernelOptions, RowInputs, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use tch::{Device, Kind, Tensor, no_grad};

use crate::error::TrainError;
use crate::report::run::{Chart, Series};
use crate::runner::Objective;

/// The task of this name with the settings of a preset, changed by `changes` (name and value), and `steps` a run.
pub fn named(
    name: &str,
    preset: Option<&str>,
    changes: &[(String, String)],
    steps: Option<u64>,
) -> Result<Box<dyn Task>, TrainError> {
    match name {
        "arithmetic" => {
            let mut settings = arithmetic::Settings::preset(preset)?.with(changes)?;
            settings.steps = steps.unwrap_or(settings.steps);
            Ok(Box::new(arithmetic::Arithmetic::new(settings)))
        }
        "sparse-mdp" => {
            let mut settings = sparse_mdp::Settings::new(preset, changes)?;
            settings.steps = steps.unwrap_or(settings.steps);
            Ok(Box::new(sparse_mdp::SparseMdp::new(settings)))
        }
        _ => Err(TrainError::refused(format!(
            "unknown task `{name}`; expected one of `{}`",
            NAMES.join("`, `")
        ))),
    }
}

/// The names of the built-in tasks.
pub const NAMES: [&str; 2] = ["arithmetic", "sparse-mdp"];

/// What one global step measured, by the keys of `metrics.jsonl`.
///
/// `reward`, `accuracy`, `entropy`, `clamped_entropy`, `coefficient`, `length` and `clip_fraction` mean the same
/// in every task; the runner adds `step`. A value that is not measured at every step is simply left out.
pub type Metrics = BTreeMap<String, f64>;

/// Adds what a spec measured. Under a name that the task has for what it measures alike for all specs, the task's stays,
/// and the spec's becomes `spec.NAME`.
fn add_of_spec(metrics: &mut Metrics, of_spec: Metrics) {
    for (name, value) in of_spec {
        let name = if metrics.contains_key(&name) { format!("spec.{name}") } else { name };
        metrics.insert(name, value);
    }
}

/// A problem on which several specs are trained side by side.
///
/// Everything random must depend on the seed and the step alone, never on the spec, on wall-clock time or on
/// torch's global generator: see [`crate::runner::random`]. Then every spec meets the same problems, and a run
/// that was killed ends with the numbers of one that was not.
pub trait Task: Send + Sync {
    /// The name after `--task`.
    fn name(&self) -> &'static str;

    /// One sentence for `aent train --help` and the report.
    fn summary(&self) -> &'static str;

    /// The batch fields that the task feeds. A spec that needs another is refused before training.
    fn fields(&self) -> &'static [&'static str];

    /// Every setting that decides numbers, in the report's order. A folder with other settings is another run.
    fn settings(&self) -> Vec<(String, String)>;

    /// How many global steps a run makes unless told otherwise.
    fn steps(&self) -> u64;

    /// How many seeds are run unless told otherwise.
    fn seeds(&self) -> u64 {
        3
    }

    /// The variants of the problem on which every spec and seed is trained. The first is the main one, which the
    /// report's curves show: its runs are in `<spec>/seed-<k>`, those of another in `cases/<case>/<spec>/seed-<k>`.
    fn cases(&self) -> Vec<String> {
        vec!["main".to_string()]
    }

    /// What the report charts over steps.
    fn series(&self) -> Vec<Series>;

    /// How many steps lie between checkpoints.
    fn checkpoint_every(&self) -> u64 {
        25
    }

    /// Makes what all specs of a seed and case share, such as a warmed-up model, and keeps it under `start.shared`.
    /// It is called before [`Task::start`], also when the folder already has it: then it returns at once.
    fn prepare(&self, _start: &Start<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// A learner at step 0.
    fn start(&self, start: &Start<'_>) -> Result<Box<dyn Learner>, TrainError>;

    /// Adds charts and sentences once all runs are there, for example a sweep over the cases.
    fn conclude(&self, _folder: &Path) -> Result<Conclusion, TrainError> {
        Ok(Conclusion::default())
    }
}

/// The state of one spec, seed and case: the policy, its optimizer, and nothing of the loss.
pub trait Learner {
    /// Makes one global step: samples, rewards, updates the policy with the spec's loss, lets controllers observe.
    fn step(&mut self, step: u64, objective: &mut Objective) -> Result<Metrics, TrainError>;

    /// Everything that, together with the step number and the loss's state, continues the run exactly.
    fn save(&self) -> Vec<(String, Tensor)>;

    /// Takes back what [`Learner::save`] gave.
    fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), TrainError>;
}

/// Where a learner starts from.
pub struct Start<'a> {
    /// The run's seed: the same for all specs that are compared.
    pub seed: u64,
    /// One of [`Task::cases`].
    pub case: &'a str,
    /// Where tensors live.
    pub device: Device,
    /// A folder of this seed and case that all specs share. Write into it with [`crate::runner::write_tensors`].
    pub shared: &'a Path,
    /// How entropy is clamped when it is measured, the same for all specs of a run.
    pub probe: Probe,
    /// Says what is going on, for the progress display.
    pub say: &'a dyn Fn(&str),
}

/// How tasks measure entropy, so that specs with and without such a term can be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// The tokens of a row that `clamped_entropy` is measured over, taken from the first spec that clamps.
    pub kept: TokenSet,
    /// The band that a controller of the specs aims at, if one does.
    pub band: Option<[f64; 2]>,
}

impl Probe {
    /// The entropy and the clamped entropy of each token `[B, T]`, in nats and without gradient. `logits` are
    /// `[B, T, V]`; a mask of 0 and 1 says which tokens count.
    pub fn measure(&self, logits: &Tensor, mask: &Tensor) -> Result<(Tensor, Tensor), TrainError> {
        let entropy = |set| RowStatistic { set, temperature: 1.0, statistic: Statistic::Entropy };
        let request = [entropy(TokenSet::All), entropy(self.kept)];
        let mask = mask.to_kind(Kind::Bool);
        let actions = mask.zeros_like().to_kind(Kind::Int64);
        let [logits, actions, mask] = [logits.detach(), actions, mask].map(Into::into);
        let inputs = RowInputs::new(&logits, &actions, &mask);
        let found = no_grad(|| row_statistics(&inputs, &request, &KernelOptions::default()))?;
        Ok((found[0].tch()?, found[1].tch()?))
    }
}

/// What a task adds to the report when all runs are done.
#[derive(Debug, Default)]
pub struct Conclusion {
    /// Charts and tables after the curves.
    pub charts: Vec<Chart>,
    /// Sentences at the top of the page.
    pub findings: Vec<String>,
    /// Sentences on how the run was made.
    pub notes: Vec<String>,
}
