//! Generalised advantage estimation over the turns of an episode.

use super::backward::Chain;
use crate::plugin::prelude::*;

/// The generalised advantage estimate of a token's segment, of which each is one step.
///
/// Formula, over the segments `k` of a sequence in the order of their first tokens, with the value `V_k` of the first token
/// and 0 after the last segment:
///
///     r_k = the sum of token_rewards over the segment, and rewards besides at the last one
///     δ_k = r_k + gamma · V_{k+1} - V_k
///     A_k = δ_k + gamma · clamp(lam, 0, 1) · A_{k+1}
///
/// A segment is the valid tokens with one id, next to one another or not. All of them have `A_k`. Where each token is a
/// segment of its own this is `gae`, where the whole sequence is one `rewards - old_values` of its first token.
///
/// Result: in the unit of the rewards.
///
/// Gradient: none.
///
/// Source: Schulman et al., arXiv 1506.02438, with turns as steps: AReaL's GAE with `gae_timestep_unit` "turn"; ArCHer, arXiv 2402.19446.
#[term(name = "segment_gae", example = "segment_gae(by = turn, gamma = 0.99, lam = 0.95)")]
struct SegmentGae {
    /// How much the next segment's future is worth.
    #[param(default = 1, min = 0, max = 1, help = "`gamma = 1` does not discount")]
    gamma: f64,
}

impl Term for SegmentGae {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .input(
                Input::required("by", Type::TOKEN.to_int())
                    .detached()
                    .docs("Ids in any order: which turn or step of its sequence a token is in."),
            )
            .input(
                Input::field("rewards", Type::SEQ).detached().docs("The outcome, paid at the last segment."),
            )
            .input(
                Input::field("old_values", Type::TOKEN)
                    .detached()
                    .docs("The critic's values, of which each segment has that of its first token."),
            )
            .input(
                Input::constant("token_rewards", Type::TOKEN, 0.0)
                    .detached()
                    .docs("Rewards of single tokens, which add up over a segment."),
            )
            .input(Input::constant("lam", Type::SEQ, 1.0).detached().docs(
                "How much of what follows a segment counts: one number, or one per sequence, such as \
                 `1 - 1 / (0.05 * segment_count(by = turn))`.",
            ))
            .extra(Extra::new("returns", Type::TOKEN, "The critic's target, `A + V`.").unit(Unit::Reward))
            .unit(Unit::Reward)
            .reach(Reach::Sequence)
            .detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let values = ctx.input("old_values");
        let dtype = values.dtype();
        let segments = ctx.segments("by")?;
        let first = segments.first();
        // Only first tokens are links, so that what is between them is passed over.
        let chain = Chain::along(ctx, &first, dtype);
        let at_first = |x: &Tensor| first.where_cond(x, &x.zeros(&[], dtype));
        let rewards =
            segments.sum(ctx.input("token_rewards")) + chain.last() * ctx.input("rewards").unsqueeze(1);
        let surprise = rewards + chain.next(values) * self.gamma - values;
        let lam = ctx.input("lam").clamp(0.0, 1.0).unsqueeze(1).expand(&values.size());
        let advantage = chain.follow(&surprise, &(lam * self.gamma));
        let returns = &advantage + values;
        let spread = |x: &Tensor| segments.sum(&at_first(x));
        Ok(TermValue::from(spread(&advantage)).with("returns", spread(&returns)))
    }
}
