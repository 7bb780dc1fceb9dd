//! The clipped surrogate without a few tokens whose advantage and log-probability move together.

use super::surrogate::{ratio, surrogate};
use crate::plugin::prelude::*;

/// The clipped policy surrogate without a random few of the tokens that lower the entropy most.
///
/// Formula, with the advantage `A`, the valid tokens of the step and their number `N`:
///
///     cov = (A - token_mean(A)) (log_prob - token_mean(log_prob))
///     r   = exp(clamp(log_prob - old_log_prob, -guard, guard))
///     L   = max(-A r, -A · clamp(r, 1 - low, 1 + high)), and 0 at chosen tokens
///
/// A token may be chosen if `cov` is strictly inside `bounds` and the clip does not bind. Of those that may,
/// `min(max(1, floor(share · N)), how many may)` are chosen, each as likely as the other.
///
/// The choice depends on `seed`, on `N` and on a token's sequence and position. So it differs from step to step, and
/// a step that is run again or cut in another way chooses alike.
///
/// The default `bounds` are made for advantages near 1: where a framework divides advantages by the number of tokens,
/// as SkyRL does, no token ever reaches them.
///
/// Result: in the unit of the advantages.
///
/// Gradient: that of `clip_ppo`, and 0 at chosen tokens. In gradient accumulation the means and the choice are
/// those of the whole step; in verl they are those of each micro-batch.
///
/// Errors: `bounds` whose ends are equal or crossed.
///
/// Source: Cui et al., arXiv 2505.22617; verl `compute_policy_loss_clip_cov` (`clip_cov_ratio`, `clip_cov_lb`,
/// `clip_cov_ub`), SkyRL `clip_cov`.
#[term(name = "clip_cov", example = "clip_cov(share = 20%, bounds = 0.1 .. 5)")]
struct ClipCov {
    /// The share of the step's tokens that are chosen.
    #[param(default = 2e-4, min = 0, max = 1, help = "it is a part of the step's tokens, such as `0.02%`")]
    share: f64,
    /// The covariances of tokens that may be chosen.
    #[param(default = 1..5)]
    bounds: Bounds,
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
    /// Another seed makes another choice.
    #[param(default = 0)]
    seed: i64,
    /// Bounds the log-ratio before `exp`; verl has no bound here.
    #[param(default = 20, above = 0)]
    guard: f64,
}

impl ClipCov {
    /// Which of the tokens that may be chosen are.
    fn chosen(&self, ctx: &TermContext<'_>, may: &Tensor) -> Result<Tensor, EvalError> {
        let tokens = ctx.mask().sum_in(DType::I64).i64_at(&[])?;
        let wanted = ((self.share * tokens as f64).floor() as i64).max(1);
        let number = wanted.min(may.sum_in(DType::I64).i64_at(&[])?);
        let keys = self.keys(may, tokens);
        let last = keys.full_like(i64::MAX);
        let [_, order] = may.where_cond(&keys, &last).flatten(0, -1).sort(0, false);
        let marks = may.zeros_like().flatten(0, -1);
        Ok(marks.index_fill(0, &order.narrow(0, 0, number), 1i64).reshape_as(may).logical_and(may))
    }

    /// A number per token that looks random: the finalizer of `splitmix64` over seed, step size and place.
    fn keys(&self, like: &Tensor, tokens: i64) -> Tensor {
        let start =
            self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ tokens.wrapping_mul(0x5851_f42d_4c95_7f2d);
        // The place does not depend on the padded width, which a micro-batch may not share.
        let place =
            like.arange(like.length(0)).unsqueeze(1) * 0x1_0000_0000_i64 + like.arange(like.length(1));
        let mixed =
            |x: Tensor, shift: i64, factor: i64| x.bitwise_xor(&x.bitwise_right_shift(shift)) * factor;
        let keys = (place + start) * 0x1e37_79b9_7f4a_7c15_i64;
        mixed(mixed(keys, 30, 0x3f58_476d_1ce4_e5b9), 27, 0x14d0_49bb_1331_11eb)
    }
}

impl Term for ClipCov {
    fn signature() -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN, "The ratio `r`, with gradient.").unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool(), "Where the clipped branch binds."))
            .extra(Extra::new("covariance", Type::TOKEN, "The covariance `cov`, with gradient."))
            .extra(Extra::new("chosen", Type::TOKEN.to_bool(), "The tokens that are chosen."))
            .reach(Reach::Batch)
            .reads(Count::Tokens)
    }

    fn check(&self) -> Result<(), ArgError> {
        let Bounds { lo, hi } = self.bounds;
        if lo < hi {
            return Ok(());
        }
        let message = format!("expected `bounds` of two covariances from low to high, found {lo} .. {hi}");
        Err(ArgError::new("bounds", message).help("write `bounds = 1 .. 5`"))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let log_prob = ctx.input("log_prob");
        // What stands at masked positions would reach every token through the means.
        let advantages = ctx.masked(ctx.input("advantages"));
        let mean = |x: &Tensor| ctx.masked(x).sum() / ctx.step_tokens();
        // Masked on the way out too: a gradient from there would reach every token through the means.
        let covariance = ctx.masked(&((&advantages - mean(&advantages)) * (log_prob - mean(log_prob))));
        let ratio = ratio(ctx, self.guard);
        let free = -&advantages * &ratio;
        let bounded = -advantages * ratio.clamp(1.0 - self.low, 1.0 + self.high);
        let clipped = bounded.gt(&free);
        let inside = covariance.gt(self.bounds.lo).logical_and(&covariance.lt(self.bounds.hi));
        let may = inside.logical_and(&clipped.logical_not()).logical_and(ctx.mask());
        let chosen = self.chosen(ctx, &may)?;
        let value = free.maximum(&bounded);
        let value = chosen.where_cond(&value.zeros_like(), &value);
        Ok(TermValue::from(value)
            .with("ratio", ratio)
            .with("clipped", clipped)
            .with("covariance", covariance)
            .with("chosen", chosen))
    }
}
