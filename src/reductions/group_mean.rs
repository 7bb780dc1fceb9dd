//! The mean over the samples of each sequence's group.

use super::group::{GROUP, Groups};
use crate::plugin::prelude::*;

/// The mean over the samples of a sequence's group: seq to seq.
///
/// Formula, with the sequences `G(i)` that have the `group` of `i` and at least one valid token:
///
///     group_mean(x)_i = (1 / |G(i)|) Σ_{j ∈ G(i)} x_j
///
/// A sequence without a valid token counts nowhere and has 0.
///
/// Gradient: `1 / |G(i)|` at every `j ∈ G(i)`. In gradient accumulation it needs the whole step at once, since
/// a group may be cut.
///
/// Source: GRPO, arXiv 2402.03300; verl `compute_grpo_outcome_advantage` (there a group of one has mean 0), TRL
/// `GRPOTrainer`, Dr. GRPO, arXiv 2503.20783.
#[reduction(name = "group_mean", example = "group_mean(rewards)")]
struct GroupMean {}

impl Reduction for GroupMean {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::SEQ, Type::SEQ).input(GROUP).reach(Reach::Group).whole_step()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        let groups = Groups::of(ctx, x.dtype())?;
        Ok(groups.at_valid(&groups.mean(x)))
    }
}
