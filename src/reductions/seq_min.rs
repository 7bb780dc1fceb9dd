//! The least value of each sequence.

use super::extremes::End;
use crate::plugin::prelude::*;

/// The least value among the valid tokens of each sequence: token to seq.
///
/// Formula, with the mask `m`:
///
///     seq_min(x)_i = min_{t: m_it = 1} x_it
///
/// A sequence without a valid token has 0.
///
/// Gradient: 1 at the least, in equal shares where several are, as torch's `amin` has it.
///
/// Source: the reward of a chain of steps as that of its worst step; PRM800K, arXiv 2305.20050, compares it with the
/// product.
#[reduction(name = "seq_min", example = "seq_min(log_prob)")]
struct SeqMin {}

impl Reduction for SeqMin {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SEQ).reach(Reach::Sequence)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(End::Least.of_sequences(x, ctx))
    }
}
