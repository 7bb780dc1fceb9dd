//! The standard deviation over the samples of each sequence's group.

use super::deviation::deviation;
use super::group::{GROUP, Groups};
use crate::plugin::prelude::*;

/// The unbiased standard deviation over the samples of a sequence's group: seq to seq.
///
/// Formula, with the sequences `G(i)` that have the `group` of `i` and at least one valid token:
///
///     group_std(x)_i = sqrt(Σ_{j ∈ G(i)} (x_j - group_mean(x)_i)² / (|G(i)| - 1))
///
/// A sequence without a valid token counts nowhere and has 0.
///
/// A group of one sample has 0, as has one of equal samples: add a small number before dividing, as in
/// `(rewards - group_mean(rewards)) / (group_std(rewards) + 1e-6)`. verl sets mean 0 and deviation 1 for a group
/// of one, so that its advantage is the bare reward; here it is 0.
///
/// Gradient: `(x_j - mean) / ((|G| - 1) std)` at every `j ∈ G(i)`, and 0 where the deviation is 0. In gradient
/// accumulation it needs the whole step at once.
///
/// Source: GRPO, arXiv 2402.03300; verl `compute_grpo_outcome_advantage` (adds 1e-6), TRL (1e-4), OpenRLHF
/// `group_norm` (1e-9), AReaL (1e-5).
#[reduction(name = "group_std", example = "group_std(rewards)")]
struct GroupStd {}

impl Reduction for GroupStd {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::SEQ, Type::SEQ)
            .input(GROUP)
            .reach(Reach::Group)
            .whole_step()
            .not_a_mean()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        let groups = Groups::of(ctx, x.dtype())?;
        // Distances from one of the values: those of equal values are 0 exactly, and so are their mean and deviation.
        let x = x - groups.at_valid(&groups.max(&x.detach()));
        let squares = groups.sum(&(&x - groups.mean(&x)).square());
        Ok(groups.at_valid(&deviation(&squares, &groups.sizes())))
    }
}
