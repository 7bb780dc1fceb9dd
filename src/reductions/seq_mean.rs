//! The mean over the valid tokens of each sequence.

use crate::plugin::prelude::*;

/// The mean over the valid tokens of each sequence: token to seq.
///
/// Formula, with the mask `m` and the length `n_i = Σ_t m_it`:
///
///     seq_mean(x)_i = (1 / n_i) Σ_t m_it x_it
///
/// A sequence without a valid token has 0.
///
/// Gradient: `m_it / n_i`.
///
/// Source: the log of the sequence ratio of GSPO, arXiv 2507.18071; verl `compute_policy_loss_gspo`.
#[reduction(name = "seq_mean", example = "seq_mean(log_prob)")]
struct SeqMean {}

impl Reduction for SeqMean {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SEQ).reach(Reach::Sequence)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(ctx.seq_mean(x))
    }
}
