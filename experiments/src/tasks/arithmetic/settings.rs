//! The settings of the task, which determine all its numbers, and the presets.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::TrainError;

/// The settings, under the names that the report shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Digits of each summand; both are padded with zeros to this width.
    pub digits: i64,
    /// Tokens of the vocabulary; thirteen are useful.
    pub vocabulary: i64,
    /// Channels of the transformer.
    pub width: i64,
    /// Its blocks.
    pub layers: i64,
    /// Its attention heads.
    pub heads: i64,
    /// An answer is cut at this many tokens, the end token included.
    pub longest_answer: i64,
    /// The most steps of the supervised warm-up.
    pub warmup_steps: u64,
    /// The warm-up ends when its cross-entropy, averaged over about ten steps, is below this; nats.
    pub warmup_loss: f64,
    /// Sums in a batch of the warm-up.
    pub warmup_batch: i64,
    /// Adam's rate in the warm-up.
    pub warmup_rate: f64,
    /// How often demonstrations forget all carries in the first part of the warm-up, which teaches the skill.
    pub forgotten_at_first: f64,
    /// The first part ends when the average cross-entropy is below this; nats.
    pub warmup_loss_at_first: f64,
    /// How often they do in the second part, which teaches the bad habit.
    pub forgotten_carries: f64,
    /// Sums asked at each global step.
    pub prompts: i64,
    /// Answers sampled for each sum.
    pub group: i64,
    /// Updates of the policy on each rollout batch.
    pub epochs: i64,
    /// Adam's rate in reinforcement learning.
    pub rate: f64,
    /// The gradient's norm is clipped to this.
    pub max_gradient_norm: f64,
    /// Sums that are never trained on.
    pub held_out: i64,
    /// Steps between evaluations on them.
    pub evaluate_every: u64,
    /// Global steps of a run.
    pub steps: u64,
}

/// The presets' names, the default first.
pub const PRESETS: [&str; 2] = ["demo", "long"];

impl Settings {
    /// A preset's settings.
    pub fn preset(name: Option<&str>) -> Result<Self, TrainError> {
        let demo = Settings {
            digits: 2,
            vocabulary: 4_096,
            width: 64,
            layers: 2,
            heads: 4,
            longest_answer: 8,
            warmup_steps: 1_500,
            warmup_loss: 0.01,
            warmup_batch: 64,
            warmup_rate: 3e-3,
            forgotten_at_first: 0.5,
            warmup_loss_at_first: 0.22,
            forgotten_carries: 0.999,
            prompts: 12,
            group: 8,
            epochs: 2,
            rate: 3e-4,
            max_gradient_norm: 1.0,
            held_out: 512,
            evaluate_every: 10,
            steps: 300,
        };
        match name.unwrap_or(PRESETS[0]) {
            "demo" => Ok(demo),
            "long" => Ok(Settings { steps: 1_000, ..demo }),
            other => Err(TrainError::refused(format!(
                "unknown preset `{other}` of the task `arithmetic`; expected one of `{}`",
                PRESETS.join("`, `")
            ))),
        }
    }

    /// The settings with some replaced, given as name and JSON value.
    pub fn with(&self, changes: &[(String, String)]) -> Result<Self, TrainError> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else {
            unreachable!("a struct is an object");
        };
        for (name, text) in changes {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            if !fields.contains_key(name) {
                return Err(TrainError::refused(format!(
                    "the task `arithmetic` has no setting `{name}`; its settings are `{}`",
                    known.join("`, `")
                )));
            }
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
            fields.insert(name.clone(), value);
        }
        let settings: Settings = serde_json::from_value(Value::Object(fields))
            .map_err(|error| TrainError::refused(format!("a setting of `arithmetic` is wrong: {error}")))?;
        settings.check()?;
        Ok(settings)
    }

    /// Names and values for the report.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else {
            unreachable!("a struct is an object");
        };
        fields.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    }

    fn check(&self) -> Result<(), TrainError> {
        let need = |holds: bool, sentence: &str| {
            if holds { Ok(()) } else { Err(TrainError::refused(format!("`arithmetic` needs {sentence}"))) }
        };
        need((1..=9).contains(&self.digits), "`digits` in 1 .. 9")?;
        need(self.vocabulary >= 13, "a `vocabulary` of at least 13 tokens")?;
        need(self.heads > 0 && self.width % self.heads == 0, "a `width` that `heads` divides")?;
        need(self.longest_answer >= self.digits + 2, "a `longest_answer` of at least `digits` + 2")?;
        need((0.0..=1.0).contains(&self.forgotten_at_first), "`forgotten_at_first` in 0 .. 1")?;
        need((0.0..=1.0).contains(&self.forgotten_carries), "`forgotten_carries` in 0 .. 1")?;
        need(
            self.group >= 2 && self.prompts >= 1 && self.epochs >= 1,
            "a `group` of at least 2, and `prompts` and `epochs` of at least 1",
        )?;
        need(self.layers >= 1 && self.warmup_batch >= 1, "at least one of `layers` and of `warmup_batch`")?;
        need(self.evaluate_every >= 1, "an `evaluate_every` of at least 1")?;
        let sums = 100_i64.pow(self.digits as u32);
        need((1..=sums / 2).contains(&self.held_out), "`held_out` of at least 1 and at most half of all sums")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Settings, TrainError> {
        Settings::preset(None).unwrap().with(&[(name.to_string(), value.to_string())])
    }

    #[test]
    fn a_setting_is_replaced_by_its_name() {
        assert_eq!(with("prompts", "5").unwrap().prompts, 5);
        assert_eq!(with("steps", "7").unwrap().steps, 7);
    }

    #[test]
    fn a_setting_that_is_not_there_or_cannot_be_is_refused() {
        assert!(with("learning_rate", "1").unwrap_err().to_string().contains("`rate`"));
        assert!(with("group", "1").unwrap_err().to_string().contains("`group` of at least 2"));
        assert!(with("steps", "many").unwrap_err().to_string().contains("many"));
    }

    #[test]
    fn every_preset_is_possible() {
        for name in PRESETS {
            Settings::preset(Some(name)).unwrap().check().unwrap();
        }
        assert!(Settings::preset(Some("huge")).unwrap_err().to_string().contains("`demo`"));
    }
}
