//! PPO's clip with a bounded gradient where PPO has none.

use super::surrogate::{check_cap, check_clip_range, dual_clip, ratio, surrogate};
use crate::plugin::prelude::*;

crate::term! {
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
    /// Inputs: `log_prob`, `old_log_prob`, `advantages`, all token (an advantage per sequence is broadcast). The
    /// last two are constants for the gradient.
    ///
    /// - `low = 0.2`, in `0 .. 1`, and `high = 0.2`, at least 0: the clip range of the ratio
    /// - `beta_low = 1` and `beta_high = 1`, at least 0: how much of the bounded gradient is kept. 1 and 1 is GPPO;
    ///   CE-GPPO takes 0.25 and 1, or 0.5 and 0.75, to steer the entropy; 0 and 0 has the gradient of `clip_ppo`
    /// - `dual`, above 1, off by default: bounds the loss of a token with a negative advantage
    /// - `guard = 20`, positive: bounds the log-ratio before `exp`
    ///
    /// Result: token, in the unit of the advantages; with both `beta` at 1 its value is that of `clip_ppo`. Extras:
    /// `ratio` (`r`, with gradient), `clipped` (bool: outside the range, where PPO has no gradient) and `capped` (bool:
    /// `dual` binds).
    ///
    /// Gradient: `-beta_low (1 - low) A`, `-beta_high (1 + high) A` and `-r A` times `∂log_prob`, and 0 where `dual`
    /// binds and outside the guard.
    ///
    /// Errors: an argument outside what is said above.
    ///
    /// Source: GPPO in Klear-Reasoner, arXiv 2508.07629; CE-GPPO, arXiv 2509.20712, and its repository.
    ///
    /// Aliases: `ce_gppo` (Kwai-Klear, with `beta_low = 0.25`).
    "gppo" => Gppo, example = "gppo(low = 0.2, high = 0.28)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Gppo {
    low: f64,
    high: f64,
    beta_low: f64,
    beta_high: f64,
    dual: Option<f64>,
    guard: f64,
}

impl Default for Gppo {
    fn default() -> Self {
        Self { low: 0.2, high: 0.2, beta_low: 1.0, beta_high: 1.0, dual: None, guard: 20.0 }
    }
}

impl Term for Gppo {
    fn signature(&self) -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN).unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool()))
            .extra(Extra::new("capped", Type::TOKEN.to_bool()))
    }

    fn check(&self) -> Result<(), ArgError> {
        check_clip_range(self.low, self.high)?;
        for (name, value) in [("beta_low", self.beta_low), ("beta_high", self.beta_high)] {
            ArgError::non_negative(name, value)
                .map_err(|error| error.help("1 keeps the bounded gradient whole, 0 takes it off"))?;
        }
        check_cap("dual", self.dual)?;
        ArgError::positive("guard", self.guard)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let gain = -ctx.input("advantages");
        let ratio = ratio(ctx, self.guard);
        let left = gain.gt(0.0).logical_and(&ratio.lt(1.0 - self.low));
        let right = gain.lt(0.0).logical_and(&ratio.gt(1.0 + self.high));
        let unit = &gain * (&ratio / ratio.detach());
        let value = (&unit * (self.beta_low * (1.0 - self.low))).where_self(&left, &(&gain * &ratio));
        let value = (unit * (self.beta_high * (1.0 + self.high))).where_self(&right, &value);
        let (value, capped) = dual_clip(value, &gain, self.dual);
        let clipped = left.logical_or(&right);
        Ok(TermValue::from(value).with("ratio", ratio).with("clipped", clipped).with("capped", capped))
    }
}
