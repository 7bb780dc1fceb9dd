//! The problems that specs are trained on: the interface of a task, and the list of built-in tasks.

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

/// The task with this name and the settings of a preset, changed by `changes` (name and value) and by `steps` per run.
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

/// The measurements of one global step, by the keys of `metrics.jsonl`.
///
/// `reward`, `accuracy`, `entropy`, `clamped_entropy`, `coefficient`, `length` and `clip_fraction` mean the same in
/// every task; the runner adds `step`. A value that was not measured at a step is left out.
pub type Metrics = BTreeMap<String, f64>;

/// Adds a spec's own metrics. If the task already uses a name for a measurement of all specs, the spec's metric is
/// named `spec.NAME`.
fn add_of_spec(metrics: &mut Metrics, of_spec: Metrics) {
    for (name, value) in of_spec {
        let name = if metrics.contains_key(&name) { format!("spec.{name}") } else { name };
        metrics.insert(name, value);
    }
}

/// A problem on which several specs are trained side by side.
///
/// All randomness must depend only on the seed and the step, never on the spec, wall-clock time or torch's global
/// generator: see [`crate::runner::random`]. Then every spec gets the same problems, and a killed run ends with the
/// same numbers as one that was not killed.
pub trait Task: Send + Sync {
    /// The name for `--task`.
    fn name(&self) -> &'static str;

    /// One sentence for `aent train --help` and the report.
    fn summary(&self) -> &'static str;

    /// The batch fields that the task provides. A spec that needs another is refused before training.
    fn fields(&self) -> &'static [&'static str];

    /// Every setting that affects numbers, in the report's order. A folder with other settings is another run.
    fn settings(&self) -> Vec<(String, String)>;

    /// The default number of global steps of a run.
    fn steps(&self) -> u64;

    /// The default number of seeds.
    fn seeds(&self) -> u64 {
        3
    }

    /// The variants of the problem, on each of which every spec and seed is trained. The report's curves show the
    /// first; its runs are in `<spec>/seed-<k>`, those of others in `cases/<case>/<spec>/seed-<k>`.
    fn cases(&self) -> Vec<String> {
        vec!["main".to_string()]
    }

    /// The series that the report charts over steps.
    fn series(&self) -> Vec<Series>;

    /// The number of steps between checkpoints.
    fn checkpoint_every(&self) -> u64 {
        25
    }

    /// Makes what all specs of a seed and case share, such as a warmed-up model, and saves it in `start.shared`. It is
    /// called before [`Task::start`], and returns at once if the folder already has it.
    fn prepare(&self, _start: &Start<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// A learner at step 0.
    fn start(&self, start: &Start<'_>) -> Result<Box<dyn Learner>, TrainError>;

    /// Adds charts and sentences after all runs, for example for a sweep over the cases.
    fn conclude(&self, _folder: &Path) -> Result<Conclusion, TrainError> {
        Ok(Conclusion::default())
    }
}

/// The state of one spec, seed and case: the policy and its optimizer, but not the loss.
pub trait Learner {
    /// Makes one global step: samples, rewards, updates the policy with the spec's loss, lets controllers observe.
    fn step(&mut self, step: u64, objective: &mut Objective) -> Result<Metrics, TrainError>;

    /// Everything that continues the run exactly, together with the step number and the loss's state.
    fn save(&self) -> Vec<(String, Tensor)>;

    /// Restores what [`Learner::save`] returned.
    fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), TrainError>;
}

/// What a learner starts from.
pub struct Start<'a> {
    /// The run's seed, the same for all compared specs.
    pub seed: u64,
    /// One of [`Task::cases`].
    pub case: &'a str,
    /// The device for tensors.
    pub device: Device,
    /// A folder that all specs share for this seed and case. Write into it with [`crate::runner::write_tensors`].
    pub shared: &'a Path,
    /// How to clamp entropy when measuring it, the same for all specs of a run.
    pub probe: Probe,
    /// Reports what is going on to the progress display.
    pub say: &'a dyn Fn(&str),
}

/// How tasks measure entropy, so that specs with and without such a term can be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// The tokens of a row that `clamped_entropy` covers, taken from the first spec that clamps.
    pub kept: TokenSet,
    /// The target band of the specs' first `band` controller, if there is one.
    pub band: Option<[f64; 2]>,
}

impl Probe {
    /// The entropy and the clamped entropy of each token `[B, T]`, in nats and without gradient. `logits` are
    /// `[B, T, V]`; a mask of 0 and 1 says which tokens count.
    pub fn measure(&self, logits: &Tensor, mask: &Tensor) -> Result<(Tensor, Tensor), TrainError> {
        let entropy = |set| RowStatistic::new(set, 1.0, Statistic::Entropy);
        let request = [entropy(TokenSet::All), entropy(self.kept)];
        let mask = mask.to_kind(Kind::Bool);
        let actions = mask.zeros_like().to_kind(Kind::Int64);
        let [logits, actions, mask] = [logits.detach(), actions, mask].map(Into::into);
        let inputs = RowInputs::new(&logits, &actions, &mask);
        let found = no_grad(|| row_statistics(&inputs, &request, &KernelOptions::default()))?;
        Ok((found[0].tch()?, found[1].tch()?))
    }
}

/// A task's additions to the report after all runs.
#[derive(Debug, Default)]
pub struct Conclusion {
    /// Charts and tables after the curves.
    pub charts: Vec<Chart>,
    /// Sentences at the top of the page.
    pub findings: Vec<String>,
    /// Sentences on how the run was made.
    pub notes: Vec<String>,
}
