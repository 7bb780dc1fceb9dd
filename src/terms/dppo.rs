//! The policy gradient inside a trust region of probabilities.

use super::surrogate::{ratio, surrogate};
use crate::plugin::prelude::*;

/// The log-likelihood of tokens whose probability has not moved too far, weighted by a capped ratio.
///
/// Formula, with the advantage `A`, `p = exp(log_prob)`, `q = exp(old_log_prob)` and `sg`, which stops the
/// gradient:
///
///     r = exp(clamp(log_prob - old_log_prob, -guard, guard))
///     D = q (old_log_prob - log_prob) + (1 - q) log((1 - q + 1e-8) / (1 - p + 1e-8))
///
///     kept where          A > 0                     A <= 0
///     divergence = "tv"   p - q <= high             p - q >= -low
///     divergence = "kl"   D <= high or p <= q       D <= low or p >= q
///
///     L = -sg[min(r, cap)] · A · log_prob where kept, else 0
///
/// A ratio of 2 is a large step for a likely token and none for one of probability 1e-5; here a step is measured
/// by how much probability it moves: by its total variation, or by the KL of taking this token or another.
///
/// prime-rl's loss lets the gradient through the ratio, measures from the inference engine's log-probabilities, and
/// pulls back to them: `prime_rl()` of `"std/surrogates.aent"`.
///
/// Result: only its gradient counts; the value is no objective.
///
/// Gradient: `-min(r, cap) · A · ∂log_prob` where kept, else 0.
///
/// Source: DPPO, arXiv 2602.04879; verl `dppo_tv` and `dppo_kl` (`clip_ratio_low`, `clip_ratio_high`), SkyRL
/// `dppo`, prime-rl's default loss.
#[term(
    name = "dppo",
    example = "dppo(divergence = \"tv\", low = 0.2, high = 0.28)",
    aliases = [
        Alias::new("dppo_tv", "verl"),
        Alias::new("dppo_kl", "verl").remark("with `divergence = \"kl\"`"),
    ]
)]
struct Dppo {
    /// The measure of a step: total variation, or KL.
    #[param(default = "tv")]
    divergence: Divergence,
    /// How much a token may lose, as a probability or in nats.
    #[param(
        default = 0.2,
        min = 0,
        help = "it is a difference of probabilities for `\"tv\"`, and a divergence in nats for `\"kl\"`"
    )]
    low: f64,
    /// How much a token may gain, as a probability or in nats.
    #[param(
        default = 0.2,
        min = 0,
        help = "it is a difference of probabilities for `\"tv\"`, and a divergence in nats for `\"kl\"`"
    )]
    high: f64,
    /// Bounds the weight; verl takes `clip_ratio_c`, 3 from its configuration and 20 without one.
    #[param(
        default = 3,
        above = 1,
        help = "it bounds the ratio, which is 1 where the policies agree; 3 is usual"
    )]
    cap: f64,
    /// Bounds the log-ratio before `exp`.
    #[param(default = 20, above = 0)]
    guard: f64,
}

#[choice]
enum Divergence {
    Tv,
    Kl,
}

impl Dppo {
    /// Where the policy is inside the region, or moves back into it.
    fn kept(&self, log_prob: &Tensor, old: &Tensor, advantages: &Tensor) -> Tensor {
        let rising = advantages.gt(0.0);
        let moved = log_prob.exp() - old.exp();
        let (within_high, within_low) = match self.divergence {
            Divergence::Tv => (moved.le(self.high), moved.ge(-self.low)),
            Divergence::Kl => {
                // `expm1` keeps the digits of `1 - p` where `p` is almost 1.
                let rest = (1e-8_f64 - old.expm1()) / (1e-8_f64 - log_prob.expm1());
                let divergence = old.exp() * (old - log_prob) - old.expm1() * rest.log();
                (
                    divergence.le(self.high).logical_or(&moved.le(0.0)),
                    divergence.le(self.low).logical_or(&moved.ge(0.0)),
                )
            }
        };
        rising.where_cond(&within_high, &within_low)
    }
}

impl Term for Dppo {
    fn signature() -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN, "The ratio `r`, with gradient.").unit(Unit::Ratio))
            .extra(Extra::new(
                "kept",
                Type::TOKEN.to_bool(),
                "The tokens that are kept; elsewhere the loss is 0.",
            ))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let (log_prob, old) = (ctx.input("log_prob"), ctx.input("old_log_prob"));
        let advantages = ctx.input("advantages");
        let kept = self.kept(&log_prob.detach(), old, advantages);
        let ratio = ratio(ctx, self.guard);
        let weighted = -ratio.detach().clamp_max(self.cap) * advantages * log_prob;
        let value = kept.where_cond(&weighted, &weighted.zeros_like());
        Ok(TermValue::from(value).with("ratio", ratio).with("kept", kept))
    }
}
