//! The clipped surrogate of PPO, asymmetric, with dual clip or a two-sided delta.

use super::surrogate::{check_cap, check_clip_range, dual_clip, ratio, surrogate};
use crate::plugin::prelude::*;

crate::term! {
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
    /// Inputs: `log_prob`, `old_log_prob`, `advantages`, all token (an advantage per sequence is broadcast). The
    /// last two are constants for the gradient.
    ///
    /// - `low = 0.2`, in `0 .. 1`, and `high = 0.2`, at least 0: the clip range of the ratio. DAPO uses `high = 0.28`
    /// - `dual`, above 1, off by default: bounds the loss of a token with a negative advantage (in verl it is always
    ///   on, at 3)
    /// - `delta`, above 1, off by default: bounds the ratio of the unclipped branch, for either sign
    /// - `guard = 20`, positive: bounds the log-ratio before `exp`, as verl and OpenRLHF do
    ///
    /// Result: token, in the unit of the advantages. Extras: `ratio` (`r`, with gradient), `clipped` (bool: the
    /// clipped branch binds, `b > a`; verl's `pg_clipfrac` is its `token_mean`) and `capped` (bool: `dual` binds;
    /// verl's `pg_clipfrac_lower`).
    ///
    /// Gradient: `-A r ∂log_prob`, and 0 where `A > 0` and `r > 1 + high`, where `A < 0` and `r < 1 - low`, where
    /// `A < 0` and `r` is above `dual` or `delta`, and outside the guard.
    ///
    /// Errors: a clip range, `dual`, `delta` or `guard` outside what is said above.
    ///
    /// Source: PPO, arXiv 1707.06347; dual clip, arXiv 1912.09729; delta, INTELLECT-2, arXiv 2505.07291; verl
    /// `compute_policy_loss_vanilla` (`clip_ratio_low`, `clip_ratio_high`, `clip_ratio_c`), TRL (`epsilon`,
    /// `epsilon_high`, `delta`), OpenRLHF `PolicyLoss`, AReaL `ppo_actor_loss_fn`, NeMo-RL `ClippedPGLossFn`, rlax
    /// `clipped_surrogate_pg_loss`.
    ///
    /// Aliases: `vanilla` (verl, with `dual = 3`), `regular` (SkyRL), `dual_clip` (SkyRL, with `dual`), `ppo`
    /// (OpenRLHF).
    "clip_ppo" => ClipPpo, example = "clip_ppo(low = 0.2, high = 0.28)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClipPpo {
    low: f64,
    high: f64,
    dual: Option<f64>,
    delta: Option<f64>,
    guard: f64,
}

impl Default for ClipPpo {
    fn default() -> Self {
        Self { low: 0.2, high: 0.2, dual: None, delta: None, guard: 20.0 }
    }
}

impl Term for ClipPpo {
    fn signature(&self) -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN).unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool()))
            .extra(Extra::new("capped", Type::TOKEN.to_bool()))
    }

    fn check(&self) -> Result<(), ArgError> {
        check_clip_range(self.low, self.high)?;
        check_cap("dual", self.dual)?;
        check_cap("delta", self.delta)?;
        ArgError::positive("guard", self.guard)
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
        let (value, capped) = dual_clip(unclipped.maximum(&clipped), &gain, self.dual);
        let clips = clipped.gt_tensor(&unclipped);
        Ok(TermValue::from(value).with("ratio", ratio).with("clipped", clips).with("capped", capped))
    }
}
