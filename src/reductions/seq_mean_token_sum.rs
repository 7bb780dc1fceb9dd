//! The mean over sequences of their sums over tokens.

use crate::plugin::prelude::*;

/// The sum inside each sequence, then the mean over sequences with a valid token: token to scalar.
///
/// Formula, with the mask `m` and the number `B₊` of sequences with a valid token in the step:
///
///     seq_mean_token_sum(x) = (1 / B₊) Σ_i Σ_t m_it x_it
///
/// A long sequence weighs more than a short one. Without a valid token it is 0.
///
/// Gradient: `m_it / B₊`.
///
/// Source: verl and ROLL `seq-mean-token-sum`.
#[reduction(name = "seq_mean_token_sum", example = "seq_mean_token_sum(log_prob)")]
struct SeqMeanTokenSum {}

impl Reduction for SeqMeanTokenSum {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR).not_a_mean().reads(Count::Sequences)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.sum() / ctx.step_sequences())
    }
}
