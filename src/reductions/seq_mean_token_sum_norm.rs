//! The mean over sequences of their sums over tokens, divided by a constant length.

use crate::plugin::prelude::*;

/// The sum inside each sequence divided by a constant, then the mean over sequences: token to scalar.
///
/// Formula, with the mask `m` and the number `B₊` of sequences with a valid token in the step:
///
///     seq_mean_token_sum_norm(x, length = L) = (1 / (B₊ L)) Σ_i Σ_t m_it x_it
///
/// Every token of a sequence weighs the same, whatever the length. A constant `length`, such as the longest completion
/// allowed, makes steps comparable. Without a valid token it is 0.
///
/// Gradient: `m_it / (B₊ L)`.
///
/// Source: Dr. GRPO, arXiv 2503.20783; verl `seq-mean-token-sum-norm` (`loss_scale_factor`; until 2026 without
/// `B₊`), TRL `dr_grpo` (divides by B and `max_completion_length`), SkyRL `seq_mean_token_sum_norm`.
#[reduction(name = "seq_mean_token_sum_norm", example = "seq_mean_token_sum_norm(log_prob, length = 1024)")]
struct SeqMeanTokenSumNorm {
    /// The constant `L`; unless given, the padded length of the step, that is, of its longest micro-batch.
    #[param(above = 0)]
    length: Option<f64>,
}

impl Reduction for SeqMeanTokenSumNorm {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR)
            .not_a_mean()
            .reads(Count::Sequences)
            .reads_width(true)
    }

    fn resolve(&self, declared: ReductionSignature) -> ReductionSignature {
        declared.reads_width(self.length.is_none())
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        let length = self.length.unwrap_or_else(|| ctx.width().max(1) as f64);
        Ok(x.sum() / (ctx.step_sequences() * length))
    }
}
