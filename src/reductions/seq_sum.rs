//! The sum over the valid tokens of each sequence.

use crate::plugin::prelude::*;

/// The sum over the valid tokens of each sequence: token to seq.
///
/// Formula, with the mask `m`:
///
///     seq_sum(x)_i = Σ_t m_it x_it
///
/// A sequence without a valid token has 0.
///
/// Gradient: `m_it`.
///
/// Source: the sequence log-probability of RLOO, arXiv 2402.14740; TRL `RLOOTrainer`.
#[reduction(name = "seq_sum", example = "seq_sum(log_prob)")]
struct SeqSum {}

impl Reduction for SeqSum {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SEQ).reach(Reach::Sequence).not_a_mean()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(ctx.seq_sum(x))
    }
}
