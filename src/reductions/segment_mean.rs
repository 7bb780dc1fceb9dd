//! The mean over the tokens of each token's segment.

use super::segment::BY;
use crate::plugin::prelude::*;

/// The mean over the valid tokens of a token's segment: token to token.
///
/// Formula, with the valid tokens `S(i,t)` of the sequence `i` whose id is that of `t`, next to one another or not:
///
///     segment_mean(x)_it = (1 / |S(i,t)|) Σ_{s ∈ S(i,t)} x_is
///
/// A token that does not count is in no segment and has 0.
///
/// Gradient: `1 / |S(i,t)|` at every `s ∈ S(i,t)`.
///
/// Source: GSPO, arXiv 2507.18071, with a turn in place of a sequence; ROLL's ratios of segments.
#[reduction(name = "segment_mean", example = "segment_mean(log_prob, by = turn)")]
struct SegmentMean {}

impl Reduction for SegmentMean {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::TOKEN).input(BY).reach(Reach::Sequence)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        let segments = ctx.segments("by")?;
        Ok(segments.sum(x) / segments.sizes(x.dtype()))
    }
}
