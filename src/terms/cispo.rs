//! The log-likelihood weighted by a clipped ratio that is held constant.

use super::surrogate::{ratio, surrogate};
use crate::plugin::prelude::*;

/// The log-likelihood weighted by a clipped importance ratio, which is a constant for the gradient.
///
/// Formula, with the advantage `A` and `sg`, which stops the gradient:
///
///     r = exp(clamp(log_prob - old_log_prob, -guard, guard))
///     L = -sg[clamp(r, bounds)] · A · log_prob
///
/// Unlike in PPO a token outside the range still has a gradient: its weight is clipped, not its loss.
///
/// `bounds` has no default, because frameworks read theirs in two ways. As `bounds` of this term they are:
///
/// - relative, `1 - low .. 1 + high`: verl, `bounds = 0.8 .. 1.2`; NeMo-RL and slime alike; ROLL, `0.9 .. 1.1`;
///   SkyRL since July 2026, offsets 1 and 4, `0 .. 5`, and before `1 .. 6`
/// - absolute: TRL and Liger take `epsilon_high` as the bound itself, `0 .. 5` as they recommend. Their default of
///   0.2 caps every weight at 0.2, `0 .. 0.2`
/// - MiniMax-M1 has no lower bound, nor has ScaleRL, which finds 4, 5 and 8 much alike: `0 .. 5`. A lower bound
///   above 0 raises the weight of tokens that the policy has left already
///
/// Result: only its gradient counts; the value is no objective.
///
/// Gradient: `-clamp(r, bounds) · A · ∂log_prob`, at every token.
///
/// Errors: `bounds` whose ends are equal or crossed.
///
/// Source: CISPO in MiniMax-M1, arXiv 2506.13585; ScaleRL, arXiv 2510.13786; verl `compute_policy_loss_cispo`, TRL
/// `loss_type="cispo"`, slime, NeMo-RL `use_cispo`, SkyRL. TorchRL's `CISPOLoss` is `clip_ppo` without its maximum:
/// it lets the gradient through the clipped ratio and has no `log_prob`.
#[term(
    name = "cispo",
    example = "cispo(bounds = 0 .. 5)",
    aliases = [Alias::new("tis", "ROLL").remark("with `bounds = 0 .. 1`")]
)]
struct Cispo {
    /// The range of ratios to which the weight is clipped.
    #[param(min = 0, help = EXAMPLES)]
    bounds: Bounds,
    /// Bounds the log-ratio before `exp`.
    #[param(default = 20, above = 0)]
    guard: f64,
}

const EXAMPLES: &str = "write `bounds = 0 .. 5`, or `bounds = 0.8 .. 1.2` for verl's `1 - low .. 1 + high`";

impl Term for Cispo {
    fn signature() -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN, "The ratio `r`, with gradient.").unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool(), "Where the ratio is outside the bounds."))
    }

    fn check(&self) -> Result<(), ArgError> {
        let Bounds { lo, hi } = self.bounds;
        if lo < hi && lo <= 1.0 && 1.0 <= hi {
            return Ok(());
        }
        let message =
            format!("expected `bounds` of two ratios with 1, where the policies agree, found {lo} .. {hi}");
        Err(ArgError::new("bounds", message).help(EXAMPLES))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let Bounds { lo, hi } = self.bounds;
        let ratio = ratio(ctx, self.guard);
        let weight = ratio.detach().clamp(lo, hi);
        let value = -&weight * ctx.input("advantages") * ctx.input("log_prob");
        let clipped = || weight.ne(&ratio);
        Ok(TermValue::from(value).with_wanted(ctx, "clipped", clipped).with("ratio", ratio))
    }
}
