//! How long a sequence is.

use crate::plugin::prelude::*;

/// The number of valid tokens of a sequence.
///
/// Formula, with the mask `m`:
///
///     length = Σ_t m_t
///
/// Result: a whole number. A sequence without a valid token counts nowhere.
///
/// Gradient: none.
///
/// Source: the lengths in the overlong penalty of DAPO, arXiv 2503.14476, and in the lambda of VAPO, arXiv 2504.05118; verl
/// `response_length`.
#[term(
    name = "length",
    example = "length()",
    aliases = [Alias::new("response_length", "verl")]
)]
struct Length {}

impl Term for Length {
    fn signature() -> Signature {
        Signature::new(Type::SEQ).reach(Reach::Sequence).interval(Interval::NON_NEGATIVE).detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.lengths().clone().into())
    }
}
