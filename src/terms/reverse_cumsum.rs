//! What is still to come along a sequence.

use super::backward::Chain;
use crate::plugin::prelude::*;

/// The sum of a token's value and of those behind it in its sequence, discounted: the return to go.
///
/// Formula, over the valid tokens of a sequence, with 0 behind the last of them:
///
///     y_t = x_t + discount · y_{t+1}
///
/// A token that does not count is passed over, and not discounted for: the one before it is followed by the one behind it.
///
/// Gradient: `∂y_t / ∂x_s` is `discount^(s - t)` for `s ≥ t`, counted in valid tokens, else 0.
///
/// Use: returns of dense rewards, `reverse_cumsum(token_rewards, discount = 0.99)` of an `input token_rewards: token`; with
/// rewards at the end of a sequence or a critic, `gae` is nearer.
///
/// Source: the return of REINFORCE, Williams 1992; verl `compute_reinforce_plus_plus_outcome_advantage`, TorchRL.
#[term(
    name = "reverse_cumsum",
    example = "reverse_cumsum(log_prob - ref_log_prob, discount = 0.9)",
    aliases = [Alias::new("reward2go", "TorchRL"), Alias::new("discounted_returns", "rlax")]
)]
struct ReverseCumsum {
    /// How much the next token's sum counts.
    #[param(default = 1, min = 0, max = 1, help = "`discount = 1` does not discount")]
    discount: f64,
}

impl Term for ReverseCumsum {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .input(Input::required("x", Type::TOKEN).positional().docs("What adds up."))
            .reach(Reach::Sequence)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let x = ctx.input("x");
        let chain = Chain::of(ctx, x.dtype());
        Ok(chain.follow(x, &(&chain.valid * self.discount)).into())
    }
}
