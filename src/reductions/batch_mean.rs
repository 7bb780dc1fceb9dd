//! The mean over the sequences of a step.

use crate::plugin::prelude::*;

/// The mean over sequences with at least one valid token: seq to scalar.
///
/// Formula, with the number `B₊` of sequences with a valid token in the step:
///
///     batch_mean(x) = (1 / B₊) Σ_{i: n_i > 0} x_i
///
/// The denominator is that of the whole step, so micro-batches add up. Without a valid token it is 0.
///
/// Gradient: `1 / B₊` at sequences with a valid token.
///
/// Source: the outer mean of verl's `seq-mean-*` modes; TRL divides by B, empty sequences included.
#[reduction(name = "batch_mean", example = "batch_mean(seq_sum(log_prob))")]
struct BatchMean {}

impl Reduction for BatchMean {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::SEQ, Type::SCALAR).reads(Count::Sequences)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.sum() / ctx.step_sequences())
    }
}
