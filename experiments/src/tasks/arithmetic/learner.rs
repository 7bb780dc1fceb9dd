//! Group-relative policy optimisation: samples groups of answers, normalises their rewards, and updates several times.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::model::{Answers, Choice, Model};
use super::problem::{Questions, Sums};
use super::settings::Settings;
use crate::error::TrainError;
use crate::optimizer::Adam;
use crate::runner::Objective;
use crate::runner::random::Random;
use crate::tasks::{Learner, Metrics, Probe, Start, add_of_spec};

/// Avoids division by zero in a group of equal rewards.
const LEAST_DEVIATION: f64 = 1e-6;

/// A policy in training.
pub(super) struct Pupil {
    settings: Settings,
    seed: u64,
    probe: Probe,
    sums: Sums,
    useful: Tensor,
    model: Model,
    /// The policy after the warm-up, which losses may use as the reference.
    reference: Model,
    adam: Adam,
}

impl Pupil {
    pub(super) fn new(settings: &Settings, start: &Start<'_>, model: Model, reference: Model) -> Self {
        let sums = Sums::new(settings, start.seed, start.device);
        Pupil {
            settings: settings.clone(),
            seed: start.seed,
            probe: start.probe,
            useful: sums.useful(),
            sums,
            adam: Adam::new(&model.params(), settings.rate, Some(settings.max_gradient_norm)),
            model,
            reference,
        }
    }

    /// The reference's logits and log-probabilities of the answers, if the loss reads either.
    fn referred(&self, objective: &Objective, asked: &Questions, actions: &Tensor) -> Option<[Tensor; 2]> {
        if !objective.reads("ref_logits") && !objective.reads("ref_log_prob") {
            return None;
        }
        let logits = tch::no_grad(|| self.reference.score(&asked.prompts, actions));
        let log_prob = logits.log_softmax(-1, Kind::Float).gather(-1, &actions.unsqueeze(-1), false);
        Some([logits, log_prob.squeeze_dim(-1)])
    }

    /// The share of held-out sums for which the policy's most probable answer is right.
    fn accuracy(&self) -> f64 {
        let questions = self.sums.held_out();
        let longest = self.sums.answer_length();
        let answers =
            self.model.answer(&questions.prompts, 1, longest, self.sums.end(), Choice::Greedy, false);
        self.sums.verify(&questions, &answers.actions).mean(Kind::Double).double_value(&[])
    }

    /// Measures the policy that sampled the answers, before any update.
    fn measure(&self, answers: &Answers, rewards: &Tensor) -> Result<Metrics, TrainError> {
        let mean = |token: &Tensor| {
            ((token * &answers.mask).sum(Kind::Double) / answers.mask.sum(Kind::Double)).double_value(&[])
        };
        let mut metrics = Metrics::from([
            ("reward".to_string(), rewards.mean(Kind::Double).double_value(&[])),
            ("length".to_string(), answers.mask.sum(Kind::Double).double_value(&[]) / rewards.numel() as f64),
            ("flat_groups".to_string(), flat(&rewards.view([-1, self.settings.group]))),
        ]);
        if let Some(logits) = &answers.logits {
            let (entropy, clamped) = self.probe.measure(logits, &answers.mask)?;
            metrics.insert("entropy".to_string(), mean(&entropy));
            metrics.insert("clamped_entropy".to_string(), mean(&clamped));
            let useful = logits.softmax(-1, Kind::Float).matmul(&self.useful);
            metrics.insert("useless_mass".to_string(), 1.0 - mean(&useful));
        }
        Ok(metrics)
    }
}

impl Learner for Pupil {
    fn step(&mut self, step: u64, objective: &mut Objective) -> Result<Metrics, TrainError> {
        let settings = &self.settings;
        let mut random = Random::at(self.seed, step, "rollout");
        let asked = self.sums.draw(settings.prompts, &mut random);
        let (longest, end) = (self.sums.longest_answer(), self.sums.end());
        let sampling = Choice::Sampled(&mut random);
        let answers = self.model.answer(&asked.prompts, settings.group, longest, end, sampling, true);
        let asked: Questions = asked.repeat(settings.group);
        let rewards = self.sums.verify(&asked, &answers.actions);
        let mut metrics = self.measure(&answers, &rewards)?;
        if step.is_multiple_of(settings.evaluate_every) {
            metrics.insert("accuracy".to_string(), self.accuracy());
        }
        metrics.insert("coefficient".to_string(), objective.coefficient());

        let advantages = normalise(&rewards, settings.group);
        let group = Tensor::arange(settings.prompts, (Kind::Int64, rewards.device()))
            .repeat_interleave_self_int(settings.group, 0, None);
        let referred = self.referred(objective, &asked, &answers.actions);
        let (mut first, mut of_spec) = (None, Metrics::new());
        for _ in 0..settings.epochs {
            let logits = self.model.score(&asked.prompts, &answers.actions);
            let mut fields = vec![
                ("logits", &logits),
                ("actions", &answers.actions),
                ("response_mask", &answers.mask),
                ("old_log_prob", &answers.log_prob),
                // The sampling policy is also the training policy, so there is no mismatch to correct.
                ("rollout_log_prob", &answers.log_prob),
                ("advantages", &advantages),
                ("rewards", &rewards),
                ("group", &group),
            ];
            if let Some([logits, log_prob]) = &referred {
                fields.extend([("ref_logits", logits), ("ref_log_prob", log_prob)]);
            }
            let measured = objective.step(&fields)?;
            measured.backward()?;
            self.adam.step();
            for (name, value) in measured.metrics() {
                *of_spec.entry(name.clone()).or_insert(0.0) += value / settings.epochs as f64;
            }
            first.get_or_insert(measured);
        }
        // The first update's signals cover the whole rollout batch under the policy that sampled it. So a controller
        // sees one entropy per step, as in the AEnt paper, and none that updates have already changed.
        if let Some(measured) = first {
            objective.observe(&measured)?;
        }
        if step + 1 == settings.steps {
            metrics.insert("accuracy".to_string(), self.accuracy());
        }
        add_of_spec(&mut metrics, of_spec);
        Ok(metrics)
    }

    fn save(&self) -> Vec<(String, Tensor)> {
        let params = self.model.params().into_iter().map(|(name, tensor)| (name, tensor.detach()));
        params.chain(self.adam.save()).collect()
    }

    fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        self.model.restore(saved)?;
        self.adam.restore(saved)
    }
}

/// Rewards as advantages: within each group, minus the mean and divided by the standard deviation.
fn normalise(rewards: &Tensor, group: i64) -> Tensor {
    let groups = rewards.view([-1, group]);
    let mean = groups.mean_dim([1_i64].as_slice(), true, Kind::Float);
    let deviation = groups.std_dim([1_i64].as_slice(), true, true);
    ((groups - mean) / (deviation + LEAST_DEVIATION)).view([-1])
}

/// The share of groups whose answers all have the same reward, and so teach nothing.
fn flat(groups: &Tensor) -> f64 {
    let (low, high) = (groups.amin([1_i64].as_slice(), false), groups.amax([1_i64].as_slice(), false));
    low.eq_tensor(&high).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_are_normalised_within_their_group() {
        let rewards = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        let advantages: Vec<f64> = Vec::try_from(normalise(&rewards, 4).to_kind(Kind::Double)).unwrap();
        // Mean 1/4, and standard deviation √((9 + 3) / 16 / 3) = 1/2.
        for (found, expected) in advantages.iter().zip([1.5, -0.5, -0.5, -0.5, 0.0, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-5, "{advantages:?}");
        }
        assert!((flat(&rewards.view([2, 4])) - 0.5).abs() < 1e-12);
    }
}
