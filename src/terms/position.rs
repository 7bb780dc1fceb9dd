//! Where in its sequence a token is.

use crate::plugin::prelude::*;

/// The place of a token among the valid tokens of its sequence, counted from 0.
///
/// Formula, with the mask `m`:
///
///     position_t = Σ_{s < t} m_s
///
/// Tokens that do not count are not counted, so a sequence with a gap, such as a tool's answer, goes on where it stopped.
///
/// Result: whole numbers from 0 to `length - 1`. The last token is `position == length - 1`, the first hundred are
/// `position < 100`, and `0.99 ^ position` decays along a sequence.
///
/// Gradient: none.
///
/// Source: weights that depend on the place of a token, as in the decays of position-weighted losses.
#[term(name = "position", example = "position()")]
struct Position {}

impl Term for Position {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN).reach(Reach::Sequence).interval(Interval::NON_NEGATIVE).detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok((ctx.mask().cumsum(1, ctx.lengths().dtype()) - 1.0).into())
    }
}
