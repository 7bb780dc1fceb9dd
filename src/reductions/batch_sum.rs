//! The sum over the sequences of a step.

use crate::plugin::prelude::*;

/// The sum over sequences with at least one valid token: seq to scalar.
///
/// Formula:
///
///     batch_sum(x) = Σ_{i: n_i > 0} x_i
///
/// It grows with the batch.
///
/// Gradient: 1 at sequences with a valid token.
///
/// Source: the numerator of `batch_mean`; for terms that bring a denominator of their own.
#[reduction(name = "batch_sum", example = "batch_sum(seq_mean(log_prob))")]
struct BatchSum {}

impl Reduction for BatchSum {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::SEQ, Type::SCALAR).extensive()
    }

    fn reduce(&self, x: &Tensor, _: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.sum())
    }
}
