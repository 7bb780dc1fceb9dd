//! The greatest value of each sequence.

use super::extremes::End;
use crate::plugin::prelude::*;

/// The greatest value among the valid tokens of each sequence: token to seq.
///
/// Formula, with the mask `m`:
///
///     seq_max(x)_i = max_{t: m_it = 1} x_it
///
/// A sequence without a valid token has 0.
///
/// Gradient: 1 at the greatest, in equal shares where several are, as torch's `amax` has it.
///
/// Source: the largest ratio of a sequence, which `accepted(level = "seq_max")` bounds; verl `rollout_rs`.
#[reduction(name = "seq_max", example = "seq_max(log_prob)")]
struct SeqMax {}

impl Reduction for SeqMax {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SEQ).reach(Reach::Sequence)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(End::Greatest.of_sequences(x, ctx))
    }
}
