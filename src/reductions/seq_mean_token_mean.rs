//! The mean over sequences of their means over tokens.

use crate::plugin::prelude::*;

/// The mean inside each sequence, then the mean over sequences with a valid token: token to scalar.
///
/// Formula, with the mask `m`, the length `n_i = Σ_t m_it` and the number `B₊` of sequences with a valid token
/// in the step:
///
///     seq_mean_token_mean(x) = (1 / B₊) Σ_i (1 / n_i) Σ_t m_it x_it
///
/// Every sequence weighs the same. Without a valid token it is 0.
///
/// Gradient: `m_it / (n_i B₊)`.
///
/// Source: GRPO, arXiv 2402.03300; verl and ROLL `seq-mean-token-mean`, TRL `grpo`, TorchRL `prompt_mean` and
/// SkyRL `sequence_mean` (these three divide by B, empty sequences included), OpenRLHF
/// `token_level_loss=False`, NeMo-RL `token_level_loss: false`.
#[reduction(name = "seq_mean_token_mean", example = "seq_mean_token_mean(log_prob)")]
struct SeqMeanTokenMean {}

impl Reduction for SeqMeanTokenMean {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR).reads(Count::Sequences)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(ctx.seq_mean(x).sum() / ctx.step_sequences())
    }
}
