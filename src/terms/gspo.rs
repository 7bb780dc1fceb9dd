//! The clipped surrogate on the ratio of whole sequences.

use super::surrogate::{log_ratio, on_tokens, surrogate};
use crate::plugin::prelude::*;

/// The clipped policy surrogate with one length-normalised ratio per sequence, to be minimised.
///
/// Formula, with the advantage `A`:
///
///     d = seq_mean(log_prob - old_log_prob)
///     S = exp(min(d, guard))                                    level = "sequence"
///     S = exp(min(sg[d] + log_prob - sg[log_prob], guard))      level = "token"
///     L = max(-A S, -A · clamp(S, 1 - low, 1 + high))
///
/// where `sg` stops the gradient. With one advantage per sequence and `seq_mean_token_mean` both levels have the
/// same value and the same gradient; with advantages that differ inside a sequence, `"token"` weights each
/// token's own.
///
/// The default clip range is the paper's, far narrower than PPO's because a mean over a sequence moves less than a
/// token. The frameworks default to 0.2.
///
/// Result: in the unit of the advantages; reduce it with `seq_mean_token_mean`, which verl, OpenRLHF and NeMo-RL
/// insist on.
///
/// Gradient: the loss of one of a sequence's `n` tokens has `-A S / n` at each of them (`"sequence"`), or
/// `-A S` at the token itself (`"token"`); 0 where the clipped branch binds and beyond the guard.
///
/// Source: GSPO and GSPO-token, arXiv 2507.18071; verl `compute_policy_loss_gspo` and SkyRL `gspo` (the token
/// form), TRL `importance_sampling_level="sequence"` and `"sequence_token"`, OpenRLHF, NeMo-RL, AReaL and slime
/// (the sequence form). AReaL also replaces the advantages by their mean:
/// `gspo(advantages = seq_mean(advantages))`.
#[term(
    name = "gspo",
    example = "gspo(low = 0.2, high = 0.28)",
    aliases = [Alias::new("gspo_token", "TRL").remark("with `level = \"token\"`")]
)]
struct Gspo {
    /// Whether a token's loss has gradient at every token of its sequence, or at the token alone.
    #[param(default = "sequence")]
    level: Level,
    /// How far the clip range of the ratio goes below 1.
    #[param(
        default = 3e-4,
        min = 0,
        max = 1,
        help = "the ratio is clipped to `1 - low .. 1 + high`; `low = 1` takes off the lower side"
    )]
    low: f64,
    /// How far the clip range of the ratio goes above 1.
    #[param(default = 4e-4, min = 0, help = "the ratio is clipped to `1 - low .. 1 + high`")]
    high: f64,
    /// Bounds the mean log-ratio from above, as verl and SkyRL do.
    #[param(default = 10, above = 0)]
    guard: f64,
}

#[choice]
enum Level {
    Sequence,
    Token,
}

impl Term for Gspo {
    fn signature() -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN, "The ratio `S`, with gradient.").unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool(), "Where the clipped branch binds."))
            .reach(Reach::Sequence)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let log_ratio = ctx.seq_mean(&log_ratio(ctx));
        let ratio = match self.level {
            Level::Sequence => on_tokens(ctx, &log_ratio.clamp_max(self.guard).exp()),
            Level::Token => {
                let log_prob = ctx.input("log_prob");
                let own = log_prob - log_prob.detach();
                (own + on_tokens(ctx, &log_ratio.detach())).clamp_max(self.guard).exp()
            }
        };
        let gain = -ctx.input("advantages");
        let free = &gain * &ratio;
        let bounded = gain * ratio.clamp(1.0 - self.low, 1.0 + self.high);
        Ok(TermValue::from(free.maximum(&bounded))
            .with("ratio", ratio)
            .with_wanted(ctx, "clipped", || bounded.gt(&free)))
    }
}
