//! The settings of the task, which determine all its numbers, in presets.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::TrainError;

/// The settings of the problem, of the policy gradient and of the optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of the preset that these settings started from.
    pub preset: String,
    /// The number of actions of a context: the size of the vocabulary.
    pub actions: i64,
    /// The number of independent one-step contexts.
    pub contexts: i64,
    /// The numbers of optimal actions to sweep over; the first is the main case.
    pub optimal: Vec<i64>,
    /// The standard deviation of the initial logits.
    pub deviation: f64,
    /// The range of ranks in the initial policy for the first optimal action of a context, even on a log scale.
    pub first_rank: [f64; 2],
    /// The upper bound of the ranks of the other optimal actions, which are evenly distributed.
    pub other_rank: i64,
    /// The number of actions sampled in each context at each step.
    pub samples: i64,
    /// Adam's step size at the start.
    pub learning_rate: f64,
    /// The step by which the step size has fallen to 0, evenly; 0 keeps it.
    pub decay_steps: u64,
    /// Adam's ε, beside the root of a gradient's mean square.
    pub epsilon: f64,
    /// The default number of steps of a run.
    pub steps: u64,
    /// The default number of seeds.
    pub seeds: u64,
    /// The number of steps between measurements of entropies.
    pub measure_every: u64,
}

/// The names of the presets, the default first.
pub const PRESETS: [&str; 4] = ["quick", "demo", "paper", "tiny"];

impl Settings {
    /// The settings of a preset with changes, each a name and a JSON value.
    pub fn new(preset: Option<&str>, changes: &[(String, String)]) -> Result<Self, TrainError> {
        let settings = Settings::preset(preset.unwrap_or(PRESETS[0]))?.with(changes)?;
        settings.check()?;
        Ok(settings)
    }

    /// The name and value of every setting, in the order of the fields.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.object().into_iter().map(|(name, value)| (name, plain(&value))).collect()
    }

    /// Adam's step size at a step.
    pub fn rate(&self, step: u64) -> f64 {
        match self.decay_steps {
            0 => self.learning_rate,
            end => self.learning_rate * (1.0 - step as f64 / end as f64).max(0.0),
        }
    }

    fn preset(name: &str) -> Result<Self, TrainError> {
        // Under these the rewards end near the figure's: docs/sparse-mdp.md.
        let paper = Settings {
            preset: name.to_string(),
            actions: 100_000,
            contexts: 25,
            optimal: vec![15, 10, 5, 1],
            deviation: 6.0,
            first_rank: [20.0, 50_000.0],
            other_rank: 50_000,
            samples: 10,
            learning_rate: 0.04,
            decay_steps: 4000,
            epsilon: 1e-8,
            steps: 4000,
            seeds: 5,
            measure_every: 20,
        };
        // A tenth of the actions, and a step size that stays.
        let quick = Settings {
            actions: 10_000,
            first_rank: [20.0, 5_000.0],
            other_rank: 5_000,
            samples: 4,
            learning_rate: 0.02,
            decay_steps: 0,
            seeds: 3,
            ..paper.clone()
        };
        match name {
            "paper" => Ok(paper),
            "quick" => Ok(quick),
            // One number of optimal actions and half of the steps: seconds per run.
            "demo" => Ok(Settings { optimal: vec![15], steps: 2000, seeds: 5, ..quick }),
            "tiny" => Ok(Settings {
                actions: 300,
                contexts: 4,
                optimal: vec![4, 1],
                deviation: 2.0,
                first_rank: [2.0, 60.0],
                other_rank: 100,
                samples: 8,
                learning_rate: 0.1,
                decay_steps: 0,
                steps: 40,
                seeds: 2,
                measure_every: 5,
                ..paper
            }),
            _ => Err(TrainError::refused(format!(
                "unknown preset `{name}` of `sparse-mdp`; expected one of `{}`",
                PRESETS.join("`, `")
            ))),
        }
    }

    fn object(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }

    fn with(&self, changes: &[(String, String)]) -> Result<Self, TrainError> {
        let mut object = self.object();
        for (name, text) in changes {
            let Some(value) = object.get_mut(name) else {
                let names: Vec<String> = object.keys().map(|key| format!("`{key}`")).collect();
                return Err(TrainError::refused(format!(
                    "`sparse-mdp` has no setting `{name}`; expected one of {}",
                    names.join(", ")
                )));
            };
            let wanted = value.clone();
            *value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
            if let Err(error) = Settings::deserialize(Value::Object(object.clone())) {
                return Err(TrainError::refused(format!(
                    "setting `{name}`: {error}; write it as `{}` is written",
                    plain(&wanted)
                )));
            }
        }
        Settings::deserialize(Value::Object(object)).map_err(|error| TrainError::refused(error.to_string()))
    }

    fn check(&self) -> Result<(), TrainError> {
        let most = self.optimal.iter().copied().max().unwrap_or(0);
        let rules = [
            (self.contexts > 0 && self.samples > 1, "at least one of `contexts` and two of `samples`"),
            (most > 0 && self.optimal.iter().all(|n| *n > 0), "positive numbers in `optimal`"),
            (self.deviation > 0.0 && self.learning_rate > 0.0, "a positive `deviation` and `learning_rate`"),
            (self.epsilon > 0.0, "a positive `epsilon`"),
            (
                self.first_rank[0] >= 1.0
                    && self.first_rank[0] <= self.first_rank[1]
                    && self.first_rank[1] < self.actions as f64,
                "`first_rank` rising inside 1 .. `actions`",
            ),
            (
                self.other_rank > most && self.other_rank <= self.actions,
                "`other_rank` above each number in `optimal` and at most `actions`",
            ),
            (self.measure_every > 0, "`measure_every` of at least 1"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(TrainError::refused(format!("expected {rule}"))),
            None => Ok(()),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(name: &str, value: &str) -> Result<Settings, TrainError> {
        Settings::new(Some("paper"), &[(name.to_string(), value.to_string())])
    }

    #[test]
    fn the_paper_preset_has_what_is_known_of_the_paper() {
        let settings = Settings::new(Some("paper"), &[]).unwrap();
        assert_eq!((settings.actions, settings.contexts, settings.steps), (100_000, 25, 4000));
        assert_eq!(settings.optimal, [15, 10, 5, 1]);
    }

    #[test]
    fn every_preset_is_consistent() {
        for preset in PRESETS {
            assert_eq!(Settings::new(Some(preset), &[]).unwrap().preset, preset);
        }
    }

    #[test]
    fn a_setting_is_replaced_by_name() {
        assert_eq!(changed("samples", "8").unwrap().samples, 8);
        assert_eq!(changed("optimal", "[3, 2]").unwrap().optimal, [3, 2]);
        let pairs = changed("samples", "8").unwrap().pairs();
        assert!(pairs.contains(&("samples".to_string(), "8".to_string())), "{pairs:?}");
    }

    #[test]
    fn the_rate_falls_evenly_to_nothing_or_stays() {
        let at = |preset, step| Settings::new(Some(preset), &[]).unwrap().rate(step);
        for (preset, step, rate) in
            [("quick", 4_000, 0.02), ("paper", 0, 0.04), ("paper", 1_000, 0.03), ("paper", 5_000, 0.0)]
        {
            assert!((at(preset, step) - rate).abs() < 1e-15, "{preset} {step}");
        }
    }

    #[test]
    fn a_wrong_setting_is_refused_with_its_name() {
        let message = |name, value| changed(name, value).unwrap_err().to_string();
        assert!(message("sample", "8").contains("no setting `sample`"));
        assert!(message("samples", "many").contains("setting `samples`"));
        assert!(message("first_rank", "[5, 2]").contains("`first_rank`"));
        assert!(Settings::new(Some("huge"), &[]).unwrap_err().to_string().contains("unknown preset `huge`"));
    }
}
