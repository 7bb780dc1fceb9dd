//! The sum over the tokens of each token's segment.

use super::segment::BY;
use crate::plugin::prelude::*;

/// The sum over the valid tokens of a token's segment: token to token.
///
/// Formula, with the valid tokens `S(i,t)` of the sequence `i` whose id is that of `t`, next to one another or not:
///
///     segment_sum(x)_it = Σ_{s ∈ S(i,t)} x_is
///
/// So `segment_sum(1, by = turn)` is how many tokens a segment has.
///
/// A token that does not count is in no segment and has 0.
///
/// Gradient: 1 at every `s ∈ S(i,t)`.
///
/// Source: the log-ratio of a turn, as GSPO has that of a sequence; ROLL's ratios of segments.
#[reduction(name = "segment_sum", example = "segment_sum(log_prob, by = turn)")]
struct SegmentSum {}

impl Reduction for SegmentSum {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::TOKEN).input(BY).reach(Reach::Sequence).not_a_mean()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(ctx.segments("by")?.sum(x))
    }
}
