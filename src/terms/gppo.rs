//! PPO's clip with a bounded gradient where PPO has none.

use super::surrogate::{dual_binds, dual_clip, ratio, surrogate};
use crate::plugin::prelude::*;

/// The policy surrogate that keeps a bounded gradient at tokens that PPO clips, to be minimised.
///
/// Formula, with the advantage `A` and `sg`, which stops the gradient:
///
///     r = exp(clamp(log_prob - old_log_prob, -guard, guard))
///     L = -beta_low (1 - low) (r / sg[r]) A       where A < 0 and r < 1 - low
///     L = -beta_high (1 + high) (r / sg[r]) A     where A > 0 and r > 1 + high
///     L = -r A                                    elsewhere
///
/// and with `dual`, where `A < 0`, it is `min(L, -dual · A)`.
///
/// GPPO has `beta_low = 1` and `beta_high = 1`. CE-GPPO takes 0.25 and 1, or 0.5 and 0.75, to steer the entropy. With
/// both at 0 the gradient is that of `clip_ppo`.
///
/// Result: in the unit of the advantages; with both `beta` at 1 its value is that of `clip_ppo`.
///
/// Gradient: `-beta_low (1 - low) A`, `-beta_high (1 + high) A` and `-r A` times `∂log_prob`, and 0 where `dual`
/// binds and outside the guard.
///
/// Source: GPPO in Klear-Reasoner, arXiv 2508.07629; CE-GPPO, arXiv 2509.20712, and its repository.
#[term(
    name = "gppo",
    example = "gppo(low = 0.2, high = 0.28)",
    aliases = [Alias::new("ce_gppo", "Kwai-Klear").remark("with `beta_low = 0.25`")]
)]
struct Gppo {
    /// How far the clip range of the ratio goes below 1.
    #[param(
        default = 0.2,
        min = 0,
        max = 1,
        help = "the ratio is clipped to `1 - low .. 1 + high`; `low = 1` takes off the lower side"
    )]
    low: f64,
    /// How far the clip range of the ratio goes above 1.
    #[param(default = 0.2, min = 0, help = "the ratio is clipped to `1 - low .. 1 + high`")]
    high: f64,
    /// How much of the bounded gradient is kept below the range.
    #[param(default = 1, min = 0, help = "1 keeps the bounded gradient whole, 0 takes it off")]
    beta_low: f64,
    /// How much of the bounded gradient is kept above the range.
    #[param(default = 1, min = 0, help = "1 keeps the bounded gradient whole, 0 takes it off")]
    beta_high: f64,
    /// Bounds the loss of a token with a negative advantage.
    #[param(above = 1, help = "it bounds the ratio, which is 1 where the policies agree; 3 is usual")]
    dual: Option<f64>,
    /// Bounds the log-ratio before `exp`.
    #[param(default = 20, above = 0)]
    guard: f64,
}

impl Term for Gppo {
    fn signature() -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN, "The ratio `r`, with gradient.").unit(Unit::Ratio))
            .extra(Extra::new(
                "clipped",
                Type::TOKEN.to_bool(),
                "Where the ratio is outside the range and PPO has no gradient.",
            ))
            .extra(Extra::new("capped", Type::TOKEN.to_bool(), "Where `dual` binds."))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let gain = -ctx.input("advantages");
        let ratio = ratio(ctx, self.guard);
        let left = gain.gt(0.0).logical_and(&ratio.lt(1.0 - self.low));
        let right = gain.lt(0.0).logical_and(&ratio.gt(1.0 + self.high));
        let unit = &gain * (&ratio / ratio.detach());
        let value = left.where_cond(&(&unit * (self.beta_low * (1.0 - self.low))), &(&gain * &ratio));
        let value = right.where_cond(&(unit * (self.beta_high * (1.0 + self.high))), &value);
        Ok(TermValue::from(dual_clip(&value, &gain, self.dual))
            .with("ratio", ratio)
            .with_wanted(ctx, "clipped", || left.logical_or(&right))
            .with_wanted(ctx, "capped", || dual_binds(&value, &gain, self.dual)))
    }
}
