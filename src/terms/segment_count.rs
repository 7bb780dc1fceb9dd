//! How many segments a sequence has.

use crate::plugin::prelude::*;

/// The number of segments of a sequence.
///
/// Formula, with the ids `by` of the valid tokens of a sequence:
///
///     segment_count(by)_i = |{by_it : m_it = 1}|
///
/// Result: a whole number. A sequence without a valid token has none. The step has `segments(by)` of `std/averages.aent`.
///
/// Gradient: none.
///
/// Source: the number of turns of an episode; AReaL `turn_counts`.
#[term(name = "segment_count", example = "segment_count(by = turn)")]
struct SegmentCount {}

impl Term for SegmentCount {
    fn signature() -> Signature {
        Signature::new(Type::SEQ)
            .input(
                Input::required("by", Type::TOKEN.to_int())
                    .detached()
                    .docs("Ids in any order: which turn or step of its sequence a token is in."),
            )
            .reach(Reach::Sequence)
            .interval(Interval::NON_NEGATIVE)
            .detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let first = ctx.segments("by")?.first();
        Ok(first.sum_dim(1, false, ctx.lengths().dtype()).into())
    }
}
