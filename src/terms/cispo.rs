//! The log-likelihood weighted by a clipped ratio that is held constant.

use super::surrogate::{ratio, surrogate};
use crate::plugin::prelude::*;

crate::term! {
    /// The log-likelihood weighted by a clipped importance ratio, which is a constant for the gradient.
    ///
    /// Formula, with the advantage `A` and `sg`, which stops the gradient:
    ///
    ///     r = exp(clamp(log_prob - old_log_prob, -guard, guard))
    ///     L = -sg[clamp(r, bounds)] · A · log_prob
    ///
    /// Unlike in PPO a token outside the range still has a gradient: its weight is clipped, not its loss.
    ///
    /// Inputs: `log_prob`, `old_log_prob`, `advantages`, all token (an advantage per sequence is broadcast). The
    /// last two are constants for the gradient.
    ///
    /// - `bounds = lo .. hi`, with `0 <= lo < hi`: what the weight is clipped to, as ratios. There is no default,
    ///   because frameworks read their own as two different things (below)
    /// - `guard = 20`, positive: bounds the log-ratio before `exp`
    ///
    /// Bounds elsewhere, and what they are here:
    ///
    /// - relative, `1 - low .. 1 + high`: verl, `bounds = 0.8 .. 1.2`; NeMo-RL and slime alike; ROLL, `0.9 .. 1.1`;
    ///   SkyRL since July 2026, offsets 1 and 4, `0 .. 5`, and before `1 .. 6`
    /// - absolute: TRL and Liger take `epsilon_high` as the bound itself, `0 .. 5` as they recommend. Their default of
    ///   0.2 caps every weight at 0.2, `0 .. 0.2`
    /// - MiniMax-M1 has no lower bound, nor has ScaleRL, which finds 4, 5 and 8 much alike: `0 .. 5`. A lower bound
    ///   above 0 raises the weight of tokens that the policy has left already
    ///
    /// Result: token. Its value is no objective; its gradient is what counts. Extras: `ratio` (`r`, with
    /// gradient) and `clipped` (bool: the ratio is outside the bounds).
    ///
    /// Gradient: `-clamp(r, bounds) · A · ∂log_prob`, at every token.
    ///
    /// Errors: bounds that are negative or crossed; a guard that is not positive.
    ///
    /// Source: CISPO in MiniMax-M1, arXiv 2506.13585; ScaleRL, arXiv 2510.13786; verl `compute_policy_loss_cispo`, TRL
    /// `loss_type="cispo"`, slime, NeMo-RL `use_cispo`, SkyRL. TorchRL's `CISPOLoss` is `clip_ppo` without its maximum:
    /// it lets the gradient through the clipped ratio and has no `log_prob`.
    ///
    /// Aliases: `tis` (ROLL, with `bounds = 0 .. 1`).
    "cispo" => Cispo, example = "cispo(bounds = 0 .. 5)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cispo {
    bounds: Bounds,
    #[serde(default = "default_guard")]
    guard: f64,
}

fn default_guard() -> f64 {
    20.0
}

impl Term for Cispo {
    fn signature(&self) -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN).unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool()))
    }

    fn check(&self) -> Result<(), ArgError> {
        let Bounds { lo, hi } = self.bounds;
        if !(0.0 <= lo && lo < hi) {
            return Err(ArgError::new(
                "bounds",
                format!("expected `bounds` of two ratios from low to high, found {lo} .. {hi}"),
            )
            .help("write `bounds = 0 .. 5`, or `bounds = 0.8 .. 1.2` for verl's `1 - low .. 1 + high`"));
        }
        ArgError::positive("guard", self.guard)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let Bounds { lo, hi } = self.bounds;
        let ratio = ratio(ctx, self.guard);
        let weight = ratio.detach().clamp(lo, hi);
        let clipped = weight.ne_tensor(&ratio);
        let value = -weight * ctx.input("advantages") * ctx.input("log_prob");
        Ok(TermValue::from(value).with("ratio", ratio).with("clipped", clipped))
    }
}
