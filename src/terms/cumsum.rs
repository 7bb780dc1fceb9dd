//! What has added up along a sequence so far.

use crate::plugin::prelude::*;

/// The sum of a token's value and of those before it in its sequence.
///
/// Formula, over the valid tokens of a sequence:
///
///     cumsum(x)_t = Σ_{s ≤ t} x_s
///
/// A token that does not count adds nothing, as if it were not there. From the other end it is `reverse_cumsum`.
///
/// Gradient: `∂ cumsum(x)_t / ∂x_s` is 1 for `s ≤ t`, else 0.
///
/// Use: what was spent up to a token, such as `cumsum(log_prob - old_log_prob)`, the log-ratio of the prefix that ends
/// with it.
///
/// Source: `torch.cumsum`; the importance weight of a prefix, Precup et al. 2000.
#[term(name = "cumsum", example = "cumsum(log_prob - old_log_prob)")]
struct Cumsum {}

impl Term for Cumsum {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .input(Input::required("x", Type::TOKEN).positional().docs("What adds up."))
            .reach(Reach::Sequence)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let x = ctx.masked(ctx.input("x"));
        // Masked on the way out too: a gradient from there would reach every token before.
        Ok(ctx.masked(&x.cumsum(1, x.dtype())).into())
    }
}
