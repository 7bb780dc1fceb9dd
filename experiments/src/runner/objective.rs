//! A compiled spec as tasks use it: a loss to step on, and controllers that observe.

use std::collections::BTreeMap;

use aent::{Batch, Output, Program, Session};
use tch::Tensor;

use crate::error::TrainError;

/// A spec with the state of its controllers.
pub struct Objective {
    session: Session,
    findings: Vec<String>,
}

/// The results of the loss on a batch.
pub struct Measured {
    output: Output,
    metrics: BTreeMap<String, f64>,
}

impl Measured {
    /// Adds the loss's gradient to the policy's.
    pub fn backward(&self) -> Result<(), TrainError> {
        Ok(self.output.backward()?)
    }

    /// The spec's metrics, and its losses as `loss/NAME` where they have names.
    pub fn metrics(&self) -> &BTreeMap<String, f64> {
        &self.metrics
    }
}

impl Objective {
    /// The loss of a program, with controllers at their initial values.
    pub fn new(program: Program) -> Self {
        Objective { session: Session::new(program), findings: Vec::new() }
    }

    /// Evaluates the loss on a batch of named fields, with gradient to `logits`.
    pub fn step(&mut self, fields: &[(&str, &Tensor)]) -> Result<Measured, TrainError> {
        let batch =
            fields.iter().fold(Batch::new(), |batch, (name, field)| batch.with(*name, field.shallow_clone()));
        let output = self.session.forward(&batch)?;
        let mut metrics = output.metrics()?;
        metrics.extend(output.totals()?.into_iter().map(|(name, loss)| (format!("loss/{name}"), loss)));
        if self.findings.is_empty() {
            self.findings = output.findings()?;
        }
        Ok(Measured { output, metrics })
    }

    /// What the `assert`s say that did not hold, in the first of the batches since the last call that broke one.
    pub fn take_findings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.findings)
    }

    /// Whether the loss reads a batch field.
    pub fn reads(&self, field: &str) -> bool {
        self.session.program().fields().any(|read| read == field)
    }

    /// Updates the controllers with the signals of a batch. Call it after the optimizer step.
    pub fn observe(&mut self, measured: &Measured) -> Result<(), TrainError> {
        Ok(self.session.update(&measured.output)?)
    }

    /// The value of each controller.
    pub fn coefficients(&self) -> BTreeMap<String, f64> {
        self.session.coefficients()
    }

    /// The factor of the entropy term, for the metrics: the value of the spec's first controller, or of its
    /// `param coef` if it has no controller, or 0.
    pub fn coefficient(&self) -> f64 {
        let program = self.session.program();
        let controlled = program
            .controllers
            .first()
            .and_then(|controller| self.coefficients().get(&controller.name).copied());
        let fixed = || program.params.iter().find(|param| param.name == "coef")?.value.number();
        controlled.or_else(fixed).unwrap_or(0.0)
    }

    /// The controllers' state, as JSON.
    pub(super) fn state(&self) -> Result<String, TrainError> {
        serde_json::to_string(&self.session.state()).map_err(|error| TrainError::refused(error.to_string()))
    }

    /// Restores what [`Objective::state`] returned.
    pub(super) fn restore(&mut self, state: &str) -> Result<(), TrainError> {
        let state = serde_json::from_str(state)
            .map_err(|error| TrainError::refused(format!("a checkpoint's loss state: {error}")))?;
        Ok(self.session.restore(state)?)
    }
}
