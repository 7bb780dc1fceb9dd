//! Targets and advantages of an actor-critic whose tokens another policy sampled.

use super::backward::Chain;
use crate::plugin::prelude::*;

/// The V-trace advantage of a token: its later rewards, weighted by truncated ratios, against the critic's expectation.
///
/// Formula, over the valid tokens of a sequence, with the values `V`, which are 0 after the last of them, as is `v`:
///
///     r_t = token_rewards_t, and rewards besides at the last token
///     ρ_t = min(exp(log_prob - old_log_prob), rho_bar)
///     c_t = min(exp(log_prob - old_log_prob), c_bar) · clamp(lam_t, 0, 1)
///     v_t = V_t + ρ_t (r_t + gamma · V_{t+1} - V_t) + gamma · c_t (v_{t+1} - V_{t+1})
///     A_t = ρ_t (r_t + gamma · v_{t+1} - V_t)
///
/// `v` is the critic's target, the extra `returns`: `squared_value(vtrace().returns)`. `A` is weighted by the ratio
/// already, so the policy's loss is `-token_mean(advantage * log_prob)`, without one more ratio. A token that does not count
/// is passed over: the one before it is followed by the one behind it.
///
/// `rho_bar` says whose values `v` estimates, those of the policy for a large one and those of the sampling policy near 0;
/// `c_bar` only how fast. Where the policies agree and neither bound is under 1, `v` is `gae(lam = lam).returns` and, for
/// `lam = 1`, `A` is `gae()`.
///
/// For tokens of an inference engine write `vtrace(old_log_prob = rollout_log_prob)`.
///
/// rlax has one more bound, for the ratio in `A`, bounds `c` by 1, and for a `lam` below 1 takes `lam · v + (1 - lam) · V` in
/// place of `v` in `A`.
///
/// Result: in the unit of the rewards.
///
/// Gradient: none; the ratios are constants too.
///
/// Errors: a `c_bar` above `rho_bar`, for which the rule need not converge.
///
/// Source: IMPALA, arXiv 1802.01561; DeepMind `scalable_agent`, SEED RL (`lambda_`), TorchRL, rlax, RLlib.
#[term(
    name = "vtrace",
    example = "vtrace(gamma = 0.99, rho_bar = 1.2, c_bar = 0.9, lam = 0.95)",
    aliases = [
        Alias::new("vtrace_advantage_estimate", "TorchRL"),
        Alias::new("vtrace_td_error_and_advantage", "rlax"),
    ]
)]
struct Vtrace {
    /// How much the next token's future is worth.
    #[param(default = 1, min = 0, max = 1, help = "`gamma = 1` does not discount")]
    gamma: f64,
    /// The largest weight of a token's surprise.
    #[param(default = 1, above = 0)]
    rho_bar: f64,
    /// The largest weight with which a later surprise is passed on.
    #[param(default = 1, above = 0)]
    c_bar: f64,
}

impl Term for Vtrace {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .input(Input::field("log_prob", Type::TOKEN).detached())
            .input(Input::field("old_log_prob", Type::TOKEN).detached())
            .input(Input::field("rewards", Type::SEQ).detached().docs("The outcome, paid at the last token."))
            .input(Input::field("values", Type::TOKEN).detached())
            .input(
                Input::constant("token_rewards", Type::TOKEN, 0.0)
                    .detached()
                    .docs("Rewards of single tokens."),
            )
            .input(Input::constant("lam", Type::TOKEN, 1.0).detached().docs(
                "How much of what follows a token counts: one number, one per sequence or one per token.",
            ))
            .extra(Extra::new("returns", Type::TOKEN, "The critic's target `v`.").unit(Unit::Reward))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool(), "Where the ratio is above `rho_bar`."))
            .unit(Unit::Reward)
            .reach(Reach::Sequence)
            .detached()
    }

    fn check(&self) -> Result<(), ArgError> {
        if self.c_bar <= self.rho_bar {
            return Ok(());
        }
        let (c_bar, rho_bar) = (self.c_bar, self.rho_bar);
        Err(ArgError::new(
            "c_bar",
            format!("expected `c_bar` of at most `rho_bar`, {rho_bar}, found {c_bar}"),
        )
        .help("`c_bar` bounds what `rho_bar` lets through"))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let values = ctx.input("values");
        let chain = Chain::of(ctx, values.dtype());
        let ratio = (ctx.input("log_prob") - ctx.input("old_log_prob")).exp();
        let weight = ratio.clamp_max(self.rho_bar);
        let trace = ratio.clamp_max(self.c_bar) * ctx.input("lam").clamp(0.0, 1.0);
        let rewards = chain.rewards();
        let surprise = &weight * (&rewards + chain.next(values) * self.gamma - values);
        let returns = values + chain.follow(&surprise, &(trace * self.gamma));
        let advantage = weight * (rewards + chain.next(&returns) * self.gamma - values);
        Ok(TermValue::from(advantage)
            .with("returns", returns)
            .with_wanted(ctx, "clipped", || ratio.gt(self.rho_bar)))
    }
}
