//! The greatest value among the tokens of each token's segment.

use super::segment::BY;
use crate::plugin::prelude::*;

/// The greatest value among the valid tokens of a token's segment: token to token.
///
/// Formula, with the valid tokens `S(i,t)` of the sequence `i` whose id is that of `t`, next to one another or not:
///
///     segment_max(x)_it = max_{s ∈ S(i,t)} x_is
///
/// A token that does not count is in no segment and has 0.
///
/// Gradient: 1 at the greatest, in equal shares where several are.
///
/// Source: the largest ratio of a turn, as `seq_max` has that of a sequence.
#[reduction(name = "segment_max", example = "segment_max(log_prob, by = turn)")]
struct SegmentMax {}

impl Reduction for SegmentMax {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::TOKEN).input(BY).reach(Reach::Sequence)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(ctx.segments("by")?.max(x))
    }
}
