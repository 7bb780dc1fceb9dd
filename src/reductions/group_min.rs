//! The least value among the samples of each sequence's group.

use super::group::{GROUP, Groups};
use crate::plugin::prelude::*;

/// The least value among the samples of a sequence's group: seq to seq.
///
/// Formula, with the sequences `G(i)` that have the `group` of `i` and at least one valid token:
///
///     group_min(x)_i = min_{j ∈ G(i)} x_j
///
/// A sequence without a valid token counts nowhere and has 0.
///
/// Gradient: 1 at the least, in equal shares where several are. In gradient accumulation it needs the whole step at
/// once, since a group may be cut.
///
/// Source: with `group_max` the range of a prompt's rewards, by which they are scaled or a prompt without spread is found.
#[reduction(name = "group_min", example = "group_min(rewards)")]
struct GroupMin {}

impl Reduction for GroupMin {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::SEQ, Type::SEQ).input(GROUP).reach(Reach::Group).whole_step()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        let groups = Groups::of(ctx, x.dtype())?;
        Ok(groups.at_valid(&-groups.max(&-x)))
    }
}
