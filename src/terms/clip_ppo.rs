//! The clipped surrogate of PPO, asymmetric, with dual clip or a two-sided delta.

use super::surrogate::{dual_binds, dual_clip, ratio, surrogate};
use crate::plugin::prelude::*;

/// The clipped policy surrogate of PPO, to be minimised.
///
/// Formula, with the advantage `A`:
///
///     r = exp(clamp(log_prob - old_log_prob, -guard, guard))
///     a = -A · min(r, delta)
///     b = -A · clamp(r, 1 - low, 1 + high)
///     L = max(a, b), and where A < 0 it is min(max(a, b), -dual · A)
///
/// Without `delta`, `a = -A r`; without `dual`, the last line is `L = max(a, b)`.
///
/// Result: in the unit of the advantages.
///
/// Gradient: `-A r ∂log_prob`, and 0 where `A > 0` and `r > 1 + high`, where `A < 0` and `r < 1 - low`, where
/// `A < 0` and `r` is above `dual` or `delta`, and outside the guard.
///
/// Source: PPO, arXiv 1707.06347; dual clip, arXiv 1912.09729; delta, INTELLECT-2, arXiv 2505.07291; verl
/// `compute_policy_loss_vanilla` (`clip_ratio_low`, `clip_ratio_high`, `clip_ratio_c`), TRL (`epsilon`,
/// `epsilon_high`, `delta`), OpenRLHF `PolicyLoss`, AReaL `ppo_actor_loss_fn`, NeMo-RL `ClippedPGLossFn`, rlax
/// `clipped_surrogate_pg_loss`.
#[term(
    name = "clip_ppo",
    example = "clip_ppo(low = 0.2, high = 0.28)",
    aliases = [
        Alias::new("vanilla", "verl").remark("with `dual = 3`"),
        Alias::new("regular", "SkyRL"),
        Alias::new("dual_clip", "SkyRL").remark("with `dual`"),
        Alias::new("ppo", "OpenRLHF"),
    ]
)]
struct ClipPpo {
    /// How far the clip range of the ratio goes below 1.
    #[param(
        default = 0.2,
        min = 0,
        max = 1,
        help = "the ratio is clipped to `1 - low .. 1 + high`; `low = 1` takes off the lower side"
    )]
    low: f64,
    /// How far the clip range of the ratio goes above 1; DAPO uses 0.28.
    #[param(default = 0.2, min = 0, help = "the ratio is clipped to `1 - low .. 1 + high`")]
    high: f64,
    /// Bounds the loss of a token with a negative advantage; in verl it is always on, at 3.
    #[param(above = 1, help = "it bounds the ratio, which is 1 where the policies agree; 3 is usual")]
    dual: Option<f64>,
    /// Bounds the ratio of the unclipped branch, for either sign of the advantage.
    #[param(above = 1, help = "it bounds the ratio, which is 1 where the policies agree; 3 is usual")]
    delta: Option<f64>,
    /// Bounds the log-ratio before `exp`, as verl and OpenRLHF do.
    #[param(default = 20, above = 0)]
    guard: f64,
}

impl Term for ClipPpo {
    fn signature() -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN, "The ratio `r`, with gradient.").unit(Unit::Ratio))
            .extra(Extra::new(
                "clipped",
                Type::TOKEN.to_bool(),
                "Where the clipped branch binds, `b > a`; verl's `pg_clipfrac` is its `token_mean`.",
            ))
            .extra(Extra::new(
                "capped",
                Type::TOKEN.to_bool(),
                "Where `dual` binds, as in verl's `pg_clipfrac_lower`.",
            ))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let advantages = ctx.input("advantages");
        let ratio = ratio(ctx, self.guard);
        let gain = -advantages;
        let unclipped = match self.delta {
            Some(delta) => &gain * ratio.clamp_max(delta),
            None => &gain * &ratio,
        };
        let clipped = &gain * ratio.clamp(1.0 - self.low, 1.0 + self.high);
        let loss = unclipped.maximum(&clipped);
        Ok(TermValue::from(dual_clip(&loss, &gain, self.dual))
            .with("ratio", ratio)
            .with_wanted(ctx, "clipped", || clipped.gt(&unclipped))
            .with_wanted(ctx, "capped", || dual_binds(&loss, &gain, self.dual)))
    }
}
