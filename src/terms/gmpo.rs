//! The clipped surrogate on the geometric mean of a sequence's ratios.

use super::surrogate::{log_ratio, surrogate};
use crate::plugin::prelude::*;

/// The policy surrogate of a sequence: its mean advantage times the geometric mean of its clipped ratios.
///
/// Formula, with the advantage `A` of a token:
///
///     d = clamp(log_prob - old_log_prob, -guard, guard)
///     c = sign(A) · min(sign(A) d, sign(A) clamp(d, -low, high))
///     L = -seq_mean(A) · exp(seq_mean(c))
///
/// The range is one of log-ratios: the paper's `-0.4 .. 0.4` allows ratios of 0.67 to 1.49. verl takes its
/// `clip_ratio` of 0.2.
///
/// Result: in the unit of the advantages; reduce it with `batch_mean`. verl divides by all sequences, also those
/// without a valid token.
///
/// Gradient: `-seq_mean(A) · exp(seq_mean(c)) / n` at each of the `n` tokens, and 0 where the clip binds: where
/// `A > 0` and `d > high`, where `A < 0` and `d < -low`, and where `A = 0`.
///
/// Source: GMPO, arXiv 2507.20673; verl `compute_policy_loss_geo_mean`, TRL's experimental `gmpo`.
#[term(
    name = "gmpo",
    example = "gmpo(low = 0.2, high = 0.28)",
    aliases = [Alias::new("geo_mean", "verl")]
)]
struct Gmpo {
    /// How far the clip range of the log-ratio goes below 0.
    #[param(default = 0.4, min = 0, help = "the log-ratio is clipped to `-low .. high`")]
    low: f64,
    /// How far the clip range of the log-ratio goes above 0.
    #[param(default = 0.4, min = 0, help = "the log-ratio is clipped to `-low .. high`")]
    high: f64,
    /// Bounds the log-ratio of a token, which verl and TRL do not.
    #[param(default = 20, above = 0)]
    guard: f64,
}

impl Term for Gmpo {
    fn signature() -> Signature {
        surrogate(Type::SEQ)
            .extra(
                Extra::new("ratio", Type::SEQ, "The geometric mean of the clipped ratios.").unit(Unit::Ratio),
            )
            .extra(Extra::new("clipped", Type::TOKEN.to_bool(), "Where the clip binds."))
            .reach(Reach::Sequence)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let advantages = ctx.input("advantages");
        let log_ratio = log_ratio(ctx).clamp(-self.guard, self.guard);
        let sign = advantages.sign();
        let free = &sign * &log_ratio;
        let bounded = &sign * log_ratio.clamp(-self.low, self.high);
        let clipped = bounded.lt(&free);
        let ratio = ctx.seq_mean(&(sign * free.minimum(&bounded))).exp();
        let value = -ctx.seq_mean(advantages) * &ratio;
        Ok(TermValue::from(value).with("ratio", ratio).with("clipped", clipped))
    }
}
