//! A small case of reinforcement learning with verifiable rewards: a tiny transformer learns to add.
//!
//! Its vocabulary resembles a language model's in one respect: nearly all of it is useless, so that a bonus for entropy
//! over all tokens rewards bad tokens. First the policy learns from a careless teacher who mostly forgets to carry,
//! which leaves habits that only exploration can change.

mod learner;
mod model;
mod problem;
mod settings;
mod warm_up;

use crate::error::TrainError;
use crate::report::run::{Scale, Series};
use crate::tasks::{Learner, Start, Task};

pub use settings::{PRESETS, Settings};

/// The task `arithmetic`.
pub struct Arithmetic {
    settings: Settings,
}

impl Arithmetic {
    /// The task with these settings.
    pub fn new(settings: Settings) -> Self {
        Arithmetic { settings }
    }
}

impl Task for Arithmetic {
    fn name(&self) -> &'static str {
        "arithmetic"
    }

    fn summary(&self) -> &'static str {
        "a tiny transformer learns sums by exact-match reward, in a vocabulary that is nearly all useless"
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "logits",
            "actions",
            "response_mask",
            "old_log_prob",
            "rollout_log_prob",
            "ref_log_prob",
            "ref_logits",
            "advantages",
            "rewards",
            "group",
        ]
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.settings.pairs()
    }

    fn steps(&self) -> u64 {
        self.settings.steps
    }

    fn series(&self) -> Vec<Series> {
        let series = |key: &str, label: &str, unit: &str| Series {
            key: key.to_string(),
            label: label.to_string(),
            unit: unit.to_string(),
            ..Series::default()
        };
        vec![
            series("accuracy", "accuracy on held-out sums", ""),
            series("reward", "reward of sampled answers", ""),
            series("entropy", "entropy", "nats"),
            series("clamped_entropy", "clamped entropy", "nats"),
            Series { scale: Scale::Log, ..series("coefficient", "entropy coefficient", "") },
            series("length", "answer length", "tokens"),
            series("useless_mass", "probability on useless tokens", ""),
            series("flat_groups", "groups without a signal", ""),
            series("clip_fraction", "clipped tokens", ""),
        ]
    }

    fn prepare(&self, start: &Start<'_>) -> Result<(), TrainError> {
        warm_up::warm_up(&self.settings, start)
    }

    fn start(&self, start: &Start<'_>) -> Result<Box<dyn Learner>, TrainError> {
        let model = || warm_up::warmed_up(&self.settings, start);
        Ok(Box::new(learner::Pupil::new(&self.settings, start, model()?, model()?)))
    }
}
