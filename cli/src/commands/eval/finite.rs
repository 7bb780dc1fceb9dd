//! Checks that a step gave finite numbers and that its assertions hold, and finds the origin of what is not finite.

use super::step::{Batches, Done};
use aent::tensor::Tensor;
use aent::{Result, Session};
use std::collections::BTreeMap;

/// Sentences about numbers that are not finite.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The loss and its gradients: training on them would ruin the model.
    pub(super) errors: Vec<String>,
    /// Metrics and signals, which the loss does not depend on, and assertions.
    pub(super) remarks: Vec<String>,
}

/// Checks the results of a step, with the session before it observes them.
pub(super) fn look(session: &Session, batches: &Batches, done: &Done) -> Result<Findings> {
    let loss = done.output.total()?;
    let (metrics, signals) = (done.output.metrics()?, done.output.signals()?);
    let reported = metrics.values().chain(signals.values()).all(|value| value.is_finite());
    let mut findings = Findings { remarks: done.output.findings()?, ..Findings::default() };
    if !loss.is_finite() || !reported {
        for found in session.find_nonfinite(batches.whole())? {
            let to = if found.result == "loss" { &mut findings.errors } else { &mut findings.remarks };
            to.push(found.to_string());
        }
    }
    if loss.is_finite() {
        findings.errors.extend(gradients(&done.gradients)?);
    } else if findings.errors.is_empty() {
        // The parts of a step may round differently from the whole, so that the whole is finite.
        findings.errors.push(format!("`loss` is {loss}"));
    }
    Ok(findings)
}

/// Finds the first wrong value of each gradient.
fn gradients(gradients: &BTreeMap<String, Tensor>) -> Result<Vec<String>> {
    let mut sentences = Vec::new();
    for (name, gradient) in gradients {
        // A sum is finite only if all its summands are. It needs no memory of the gradient's size.
        if gradient.sum().f64_at(&[])?.is_finite() {
            continue;
        }
        let wrong = gradient.isfinite().logical_not();
        if wrong.any().i64_at(&[])? == 0 {
            continue;
        }
        let at = wrong.nonzero().select(0, 0).to_i64s()?;
        let value = gradient.f64_at(&at)?;
        sentences.push(format!(
            "the gradient of `{name}` is {value} at {at:?}, though the loss is finite: a slope without bound, such as that \
             of `sqrt` at 0, met a factor of 0 or grew too large"
        ));
    }
    Ok(sentences)
}
