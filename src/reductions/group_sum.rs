//! The sum over the samples of each sequence's group.

use super::group::{GROUP, Groups};
use crate::plugin::prelude::*;

/// The sum over the samples of a sequence's group: seq to seq.
///
/// Formula, with the sequences `G(i)` that have the `group` of `i` and at least one valid token:
///
///     group_sum(x)_i = Σ_{j ∈ G(i)} x_j
///
/// So `group_sum(1)` is how many samples a group has, and `group_sum(length)` how many tokens.
///
/// A sequence without a valid token counts nowhere and has 0.
///
/// Gradient: 1 at every `j ∈ G(i)`. In gradient accumulation it needs the whole step at once, since a group may be
/// cut.
///
/// Source: the leave-one-out baseline of RLOO, arXiv 2402.14740; SkyRL `prompt_mean`.
#[reduction(name = "group_sum", example = "group_sum(rewards)")]
struct GroupSum {}

impl Reduction for GroupSum {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::SEQ, Type::SEQ)
            .input(GROUP)
            .reach(Reach::Group)
            .whole_step()
            .not_a_mean()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        let groups = Groups::of(ctx, x.dtype())?;
        Ok(groups.at_valid(&groups.sum(x)))
    }
}
