//! The clipped surrogate on the ratio of whole sequences.

use super::surrogate::{check_clip_range, log_ratio, on_tokens, surrogate};
use crate::plugin::prelude::*;

crate::term! {
    /// The clipped policy surrogate with one length-normalised ratio per sequence, to be minimised.
    ///
    /// Formula, with the advantage `A`:
    ///
    ///     s = exp(min(seq_mean(log_prob - old_log_prob), guard))
    ///     S = s                                       level = "sequence"
    ///     S = sg[s] · exp(log_prob - sg[log_prob])    level = "token"
    ///     L = max(-A S, -A · clamp(S, 1 - low, 1 + high))
    ///
    /// where `sg` stops the gradient. With one advantage per sequence and `seq_mean_token_mean` both levels have the
    /// same value and the same gradient; with advantages that differ inside a sequence, `"token"` weights each
    /// token's own.
    ///
    /// Inputs: `log_prob`, `old_log_prob`, `advantages`, all token (an advantage per sequence is broadcast). The
    /// last two are constants for the gradient.
    ///
    /// - `level = "sequence"`: or `"token"`
    /// - `low = 3e-4`, in `0 .. 1`, and `high = 4e-4`, at least 0: the clip range of the paper, far narrower than
    ///   PPO's because a mean over a sequence moves less than a token. The frameworks keep 0.2 unless told
    /// - `guard = 10`, positive: bounds the mean log-ratio from above, as verl and SkyRL do
    ///
    /// Result: token, in the unit of the advantages; reduce it with `seq_mean_token_mean`, which verl, OpenRLHF and
    /// NeMo-RL insist on. Extras: `ratio` (`S`, with gradient) and `clipped` (bool: the clipped branch binds).
    ///
    /// Gradient: the loss of one of a sequence's `n` tokens has `-A s / n` at each of them (`"sequence"`), or
    /// `-A s` at the token itself (`"token"`); 0 where the clipped branch binds and beyond the guard.
    ///
    /// Errors: a clip range or a guard outside what is said above.
    ///
    /// Source: GSPO and GSPO-token, arXiv 2507.18071; verl `compute_policy_loss_gspo` and SkyRL `gspo` (the token
    /// form), TRL `importance_sampling_level="sequence"` and `"sequence_token"`, OpenRLHF, NeMo-RL, AReaL and slime
    /// (the sequence form). AReaL also replaces the advantages by their mean:
    /// `gspo(advantages = seq_mean(advantages))`.
    ///
    /// Aliases: `gspo_token` (TRL, with `level = "token"`).
    "gspo" => Gspo, example = "gspo(low = 0.2, high = 0.28)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Gspo {
    level: Level,
    low: f64,
    high: f64,
    guard: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Sequence,
    Token,
}

impl Default for Gspo {
    fn default() -> Self {
        Self { level: Level::Sequence, low: 3e-4, high: 4e-4, guard: 10.0 }
    }
}

impl Term for Gspo {
    fn signature(&self) -> Signature {
        surrogate(Type::TOKEN)
            .extra(Extra::new("ratio", Type::TOKEN).unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool()))
            .reach(Reach::Sequence)
    }

    fn check(&self) -> Result<(), ArgError> {
        check_clip_range(self.low, self.high)?;
        ArgError::positive("guard", self.guard)
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
        let clips = bounded.gt_tensor(&free);
        Ok(TermValue::from(free.maximum(&bounded)).with("ratio", ratio).with("clipped", clips))
    }
}
