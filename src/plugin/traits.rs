//! The three kinds of plugin objects.

use super::{
    ArgError, ControllerSignature, EvalError, ReductionSignature, Signature, TermContext, TermValue,
};
use crate::interval::Interval;
use crate::rows::{FieldName, RowStatistic, Statistic, TokenSet};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// A row statistic that a term needs; the compiler adds the program's temperature, unless it has one of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The tokens that count.
    pub set: TokenSet,
    /// What is computed.
    pub statistic: Statistic,
    /// The power to which probabilities are raised, that is, a factor on the tempered logits; usually 1.
    pub power: f64,
    /// What divides the logits instead of the program's temperature.
    pub temperature: Option<f64>,
    /// What a divergence compares with instead of the reference: a field that the file declares as `logits`.
    pub reference: Option<FieldName>,
}

impl Row {
    /// A statistic over a set.
    pub const fn new(set: TokenSet, statistic: Statistic) -> Self {
        Self { set, statistic, power: 1.0, temperature: None, reference: None }
    }

    /// What it asks of the kernels in a program with that temperature, and with a field that has one of each row.
    pub(crate) fn at(&self, temperature: f64, field: Option<FieldName>) -> RowStatistic {
        let divisor = if self.temperature.is_none() { field } else { None };
        let temperature = self.temperature.unwrap_or(temperature) / self.power;
        let row = RowStatistic::new(self.set, temperature, self.statistic);
        RowStatistic { divisor, reference: self.reference, ..row }
    }

    /// The same at a temperature of its own, if one is given, which costs one more pass over the row.
    #[must_use]
    pub const fn temperature(mut self, temperature: Option<f64>) -> Self {
        self.temperature = temperature;
        self
    }

    /// The same divergence from another reference, if one is given.
    #[must_use]
    pub const fn reference(mut self, reference: Option<FieldName>) -> Self {
        self.reference = reference;
        self
    }

    /// The same for probabilities raised to a power above zero, which costs one more pass over the row.
    #[must_use]
    pub const fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }
}

/// A named formula: its fields are its constant arguments, its inputs are tensors.
pub trait Term: fmt::Debug + erased_serde::Serialize + Send + Sync {
    /// The signature that it declares for all arguments.
    fn signature() -> Signature
    where
        Self: Sized;

    /// Refines the signature for these arguments: a narrower interval, a shorter reach, the sets and powers of its row
    /// statistics. Inputs, extras, types and the number of row statistics must stay as declared. May be called before
    /// [`Term::check`].
    fn resolve(&self, declared: Signature) -> Signature {
        declared
    }

    /// Refuses arguments that are each within their declared limits, but that the formula does not allow.
    fn check(&self) -> Result<(), ArgError> {
        Ok(())
    }

    /// Computes the value with tensor operations, on any device and float kind. The result at masked positions may be
    /// anything: it reaches no other result and no gradient.
    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError>;
}

/// A named reduction of many values to fewer.
pub trait Reduction: fmt::Debug + erased_serde::Serialize + Send + Sync {
    /// The signature that it declares for all arguments.
    fn signature() -> ReductionSignature
    where
        Self: Sized;

    /// Refines the signature for these arguments: whether it reads the width. Inputs, types and how parts add up must
    /// stay as declared.
    fn resolve(&self, declared: ReductionSignature) -> ReductionSignature {
        declared
    }

    /// Refuses arguments that are each within their declared limits, but that the formula does not allow.
    fn check(&self) -> Result<(), ArgError> {
        Ok(())
    }

    /// Reduces `x`, which is zero at masked positions. The counts in `ctx` are those of the whole step, of which `x` may
    /// be a part.
    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError>;
}

/// A coefficient that holds its value during a step and moves when the step's signal is observed.
pub trait Controller: fmt::Debug + erased_serde::Serialize + Send + Sync {
    /// The signature that it declares for all arguments.
    fn signature() -> ControllerSignature
    where
        Self: Sized;

    /// The values its coefficient can take. May be called before [`Controller::check`].
    fn interval(&self) -> Interval;

    /// The interval into which it steers its signal, if it does.
    fn target(&self) -> Option<Interval> {
        None
    }

    /// Refuses arguments that are each within their declared limits, but that the rule does not allow, such as one that
    /// could never act.
    fn check(&self) -> Result<(), ArgError> {
        Ok(())
    }

    /// The state before the first step.
    fn start(&self) -> ControllerState;

    /// The state after an observation. `signal` is finite, or `None` for a controller that takes none.
    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState;

    /// Refuses a state that this rule cannot produce, with a sentence. The caller has checked that the value is within
    /// [`Controller::interval`] and that all numbers are finite. By default `memory` must be as long as in
    /// [`Controller::start`]; a rule whose memory grows says how far.
    fn validate(&self, state: &ControllerState) -> Result<(), String> {
        let length = self.start().memory.len();
        state.has_memory(length..=length)
    }
}

/// The state of a controller, saved and restored bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControllerState {
    /// The current coefficient.
    pub value: f64,
    /// The number of observations.
    pub observations: u64,
    /// Further numbers that the rule needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<f64>,
}

impl ControllerState {
    /// A state before any observation.
    pub fn starting_at(value: f64) -> Self {
        Self { value, observations: 0, memory: Vec::new() }
    }

    /// The signal, or `None` during the first `warmup` observations, which leave a coefficient unchanged.
    pub fn after(&self, warmup: u64, signal: Option<f64>) -> Option<f64> {
        signal.filter(|_| self.observations >= warmup)
    }

    /// Refuses a memory whose length is outside of `length`.
    pub fn has_memory(&self, length: RangeInclusive<usize>) -> Result<(), String> {
        let found = self.memory.len();
        if length.contains(&found) {
            return Ok(());
        }
        let (least, most) = length.into_inner();
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        Err(format!("expected a `memory` of length {expected}, found length {found}"))
    }

    /// The next state, with this value and the same memory.
    #[must_use]
    pub fn moved_to(&self, value: f64) -> Self {
        Self { value, observations: self.observations + 1, memory: self.memory.clone() }
    }
}

erased_serde::serialize_trait_object!(Term);
erased_serde::serialize_trait_object!(Reduction);
erased_serde::serialize_trait_object!(Controller);
