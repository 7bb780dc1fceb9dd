//! How many groups a step has.

use crate::plugin::prelude::*;

/// The number of groups of the step, of those that have a sequence with a valid token.
///
/// Formula, with the `group` of each sequence:
///
///     group_count() = |{ group_i : sequence i has a valid token }|
///
/// The denominator of means in which every prompt weighs the same, as `prompts()` and `rollouts(rollout)`. Without a valid token it
/// is 0.
///
/// Result: a whole number of at least 0.
///
/// Gradient: none. In gradient accumulation it is counted before the first share, or given: `program.accumulate(groups = ...)`.
///
/// Source: the number of prompts, ScaleRL, arXiv 2510.13786; SkyRL `prompt_mean`; slime's `num_rollouts`.
#[term(name = "group_count", example = "group_count()")]
struct GroupCount {}

impl Term for GroupCount {
    fn signature() -> Signature {
        Signature::new(Type::SCALAR)
            .input(Input::field("group", Type::SEQ.to_int()).detached())
            .reach(Reach::Group)
            .reads(Count::Groups)
            .interval(Interval::NON_NEGATIVE)
            .detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let (index, number) = ctx.input("group").unique()?;
        let valid = ctx.valid_sequences().to_dtype(DType::I64);
        let sizes = valid.zeros(&[number], DType::I64).index_add(0, &index, &valid);
        Ok(sizes.gt(0.0).sum_in(ctx.lengths().dtype()).into())
    }
}
