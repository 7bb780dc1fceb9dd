//! Trains tabular softmax policies with sampled actions, all contexts at once.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use super::problem::Problem;
use super::rows::Rows;
use super::sampling::inverse_cdf;
use super::settings::Settings;
use crate::error::TrainError;
use crate::optimizer::{Adam, copy};
use crate::runner::Objective;
use crate::runner::random::Random;
use crate::tasks::{Learner, Metrics, Probe, Start, add_of_spec};

/// The size of a parameter that fits a core's cache together with its gradient and moments.
const CACHED: i64 = 100_000;

/// The policies of all contexts for a seed.
pub(super) struct Table {
    settings: Settings,
    seed: u64,
    probe: Probe,
    problem: Problem,
    /// The logits `[contexts, actions]`, split by contexts: parameters that fit a core's cache are updated faster.
    logits: Vec<Tensor>,
    adam: Adam,
}

impl Table {
    pub(super) fn new(settings: &Settings, start: &Start<'_>, n: i64) -> Result<Self, TrainError> {
        let problem = Problem::new(settings, start.seed, n, start.device)?;
        let contexts = (CACHED / settings.actions).clamp(1, settings.contexts);
        let parts = problem.logits.split(contexts, 0);
        let logits: Vec<Tensor> = parts.iter().map(|part| part.copy().set_requires_grad(true)).collect();
        let adam = Adam::new(&named(&logits), settings.learning_rate, None).with_epsilon(settings.epsilon);
        Ok(Table { settings: settings.clone(), seed: start.seed, probe: start.probe, problem, logits, adam })
    }

    /// Measures the policies before the update.
    fn measure(&self, step: u64, logits: &Tensor, probability: &Tensor) -> Result<Metrics, TrainError> {
        let success = self.problem.success(probability);
        let mut metrics = Metrics::from([
            ("reward".to_string(), success.mean(Kind::Double).double_value(&[])),
            (
                "solved".to_string(),
                success.gt(0.5).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]),
            ),
        ]);
        if step.is_multiple_of(self.settings.measure_every) || step + 1 == self.settings.steps {
            let every = Tensor::ones([logits.size()[0], 1], (Kind::Bool, logits.device()));
            let (entropy, clamped) = self.probe.measure(&logits.unsqueeze(1), &every)?;
            for (name, values) in [("entropy", entropy), ("clamped_entropy", clamped)] {
                metrics.insert(name.to_string(), values.mean(Kind::Double).double_value(&[]));
            }
        }
        Ok(metrics)
    }
}

impl Learner for Table {
    fn step(&mut self, step: u64, objective: &mut Objective) -> Result<Metrics, TrainError> {
        let (rows, mut metrics) = no_grad(|| {
            let logits = Tensor::cat(&self.logits, 0);
            let probability = logits.softmax(-1, Kind::Float);
            let shape = [self.settings.contexts, self.settings.samples];
            let uniform = Random::at(self.seed, step, "actions").uniform(&shape, logits.device());
            let actions = inverse_cdf(&probability, &uniform);
            let rows = Rows::new(&actions, &self.problem.rewards(&actions));
            let metrics = self.measure(step, &logits, &probability)?;
            Ok::<_, TrainError>((rows, metrics))
        })?;
        metrics.insert("coefficient".to_string(), objective.coefficient());
        let contexts: Vec<Tensor> = self.logits.iter().flat_map(|part| part.unbind(0)).collect();
        let fields = rows.fields(&contexts);
        let measured = objective.step(&[
            ("logits", &fields.logits),
            ("actions", &fields.actions),
            ("response_mask", &fields.response_mask),
            ("advantages", &fields.advantages),
            ("whole", &fields.whole),
        ])?;
        measured.backward()?;
        self.adam.set_rate(self.settings.rate(step));
        self.adam.step();
        objective.observe(&measured)?;
        add_of_spec(&mut metrics, measured.metrics().clone());
        Ok(metrics)
    }

    fn save(&self) -> Vec<(String, Tensor)> {
        let logits = named(&self.logits).into_iter().map(|(name, tensor)| (name, tensor.detach()));
        logits.chain(self.adam.save()).collect()
    }

    fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        for (name, mut tensor) in named(&self.logits) {
            copy(saved, &name, &mut tensor)?;
        }
        self.adam.restore(saved)
    }
}

fn named(logits: &[Tensor]) -> Vec<(String, Tensor)> {
    let tensors = logits.iter().map(Tensor::shallow_clone);
    tensors.enumerate().map(|(part, tensor)| (format!("logits.{part}"), tensor)).collect()
}
