//! A compiled spec as a task sees it: a loss to step on, and controllers that observe.

use std::collections::BTreeMap;

use aent::kernels::TokenSet;
use aent::program::Program;
use tch::{Kind, Tensor};

use crate::error::TrainError;
use crate::runner::probe::probe;

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
    /// Takes a program, as yet without a step.
    pub fn new(program: Program) -> Self {
        let number = |name: &str, default: f64| {
            program.params.iter().find(|param| param.name == name).map_or(default, |param| param.value)
        };
        let term = if let TokenSet::Drop(drop) = probe(std::iter::once(&program)).kept {
            Term::Clamped(drop)
        } else if program.terms.iter().any(|term| term.name == "entropy") {
            Term::Full
        } else {
            Term::None
        };
        let band = program.controllers.first().map(|controller| {
            let args = controller.object.args();
            let one = |name: &str| args[name].as_f64().unwrap_or_default();
            let two = |name: &str| [0, 1].map(|end| args[name][end].as_f64().unwrap_or_default());
            Band { target: two("target"), step: one("step"), bounds: two("bounds"), warmup: 0, observed: 0 }
        });
        let init =
            program.controllers.first().and_then(|controller| controller.object.args()["init"].as_f64());
        Objective {
            low: number("eps", 0.2),
            high: number("eps", 0.2),
            coefficient: init.unwrap_or(if matches!(term, Term::None) { 0.0 } else { number("coef", 1e-3) }),
            term,
            band,
        }
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
