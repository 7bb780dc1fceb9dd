//! Generalised advantage estimation, and with values of 0 the discounted return.

use super::backward::Chain;
use crate::plugin::prelude::*;

/// The generalised advantage estimate of a token: its later rewards, against the critic's expectation.
///
/// Formula, over the valid tokens of a sequence, with the values `V`, which are 0 after the last of them:
///
///     r_t = token_rewards_t, and rewards besides at the last token
///     δ_t = r_t + gamma · V_{t+1} - V_t
///     A_t = δ_t + gamma · clamp(lam_t, 0, 1) · A_{t+1}
///
/// A token that does not count is passed over: the one before it is followed by the one behind it.
///
/// Result: in the unit of the rewards. verl whitens it, `whitened(gae())`, and takes the returns from before.
///
/// Gradient: none.
///
/// Source: Schulman et al., arXiv 1506.02438; verl `compute_gae_advantage_return`, OpenRLHF
/// `get_advantages_and_returns`, AReaL, TRL PPO (`lam` 0.95); VAPO, arXiv 2504.05118, with a `lam` for the policy and
/// 1 for the critic.
#[term(
    name = "gae",
    example = "gae(gamma = 0.99, lam = 0.95)",
    aliases = [
        Alias::new("generalized_advantage_estimation", "rlax"),
        Alias::new("generalized_advantage_estimation", "NeMo-RL"),
    ]
)]
struct Gae {
    /// How much the next token's future is worth.
    #[param(default = 1, min = 0, max = 1, help = "`gamma = 1` does not discount")]
    gamma: f64,
}

impl Term for Gae {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .input(Input::field("rewards", Type::SEQ).detached().docs("The outcome, paid at the last token."))
            .input(Input::field("old_values", Type::TOKEN).detached().docs(
                "The critic's values; with `old_values = 0` and `lam = 1` the estimate is the discounted return.",
            ))
            .input(Input::constant("token_rewards", Type::TOKEN, 0.0).detached().docs(
                "Rewards of single tokens, such as `-beta * kl(log_prob = old_log_prob, estimator = \"k1\")`.",
            ))
            .input(Input::constant("lam", Type::TOKEN, 1.0).detached().docs(
                "How much of what follows a token counts: one number, one per sequence or one per token. VAPO's depends \
                 on the length: `1 - 1 / (0.05 * length)`.",
            ))
            .extra(Extra::new("returns", Type::TOKEN, "The critic's target, `A + V`.").unit(Unit::Reward))
            .unit(Unit::Reward)
            .reach(Reach::Sequence)
            .detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let values = ctx.input("old_values");
        let chain = Chain::of(ctx, values.dtype());
        let surprise = chain.rewards() + chain.next(values) * self.gamma - values;
        let advantage = chain.follow(&surprise, &(ctx.input("lam").clamp(0.0, 1.0) * self.gamma));
        let returns = &advantage + values;
        Ok(TermValue::from(advantage).with("returns", returns))
    }
}
