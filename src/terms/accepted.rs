//! Which tokens or sequences are near enough to the policy that sampled them.

use super::surrogate::on_tokens;
use crate::plugin::prelude::*;

crate::term! {
    /// Whether a token, or its whole sequence, is near enough to what the inference engine sampled from.
    ///
    /// Formula, with `l = clamp(old_log_prob - rollout_log_prob, -guard, guard)`:
    ///
    ///     statistic   ratio: l     k2: l² / 2     k3: exp(l) - 1 - l
    ///     level       token: of the token     seq_sum, seq_mean, seq_max: over the tokens of its sequence
    ///
    /// A token is accepted where the statistic lies in `bounds`, both ends included. For `"ratio"` the bounds are
    /// those of the ratio `exp(l)`: of the token's, with `seq_sum` of the product over the sequence, with
    /// `seq_mean` of the geometric mean, with `seq_max` of the largest.
    ///
    /// Inputs: `old_log_prob`, `rollout_log_prob`, both token; both are constants for the gradient. For the
    /// distance of the policy being trained: `accepted(old_log_prob = log_prob, ...)`.
    ///
    /// - `bounds = lo .. hi`, with `lo < hi`; there is no default. A limit from above is `0 .. 0.01`
    /// - `statistic = "ratio"`: or `"k2"`, `"k3"`
    /// - `level = "token"`: or `"seq_sum"`, `"seq_mean"`, `"seq_max"`
    /// - `guard = 20`, positive: bounds the log-ratio of a token, as verl does
    ///
    /// In use elsewhere: Geo-RS of verl, `level = "seq_mean", bounds = 0.999 .. 1.001`; TRL's default mode
    /// `sequence_mask`, `level = "seq_sum", bounds = 0 .. 3`; TorchRL `statistic = "k2"` per token. verl's `k1` is
    /// the ratio turned over: its bounds `0.5_4.0` hold for rollout over train, and are `bounds = 0.25 .. 2` here.
    ///
    /// Result: token bool. Where rejected tokens still count in the denominator, as in AReaL, write
    /// `token_mean(where(accepted(...), policy, 0))`; where they do not, as in verl,
    /// `kept_mean(policy, accepted(...))` with `"std/masks.aent"`.
    ///
    /// Gradient: none.
    ///
    /// Errors: crossed bounds; a guard that is not positive.
    ///
    /// Source: verl `rollout_corr_helper.py` (`rollout_rs`), AReaL `rejection_sampling`, TRL
    /// `vllm_importance_sampling_mode`, OpenRLHF and NeMo-RL `seq-mask-tis`.
    ///
    /// Aliases: `rollout_rs` (verl), `rejection_sampling` (AReaL), `sequence_mask` (TRL, with `level = "seq_sum"`).
    "accepted" => Accepted, example = "accepted(statistic = \"k3\", level = \"seq_mean\", bounds = 0 .. 0.05)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    bounds: Bounds,
    #[serde(default)]
    statistic: Statistic,
    #[serde(default)]
    level: Level,
    #[serde(default = "default_guard")]
    guard: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Statistic {
    #[default]
    Ratio,
    K2,
    K3,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    #[default]
    Token,
    SeqSum,
    SeqMean,
    SeqMax,
}

fn default_guard() -> f64 {
    20.0
}

impl Term for Accepted {
    fn signature(&self) -> Signature {
        let reach = if self.level == Level::Token { Reach::Token } else { Reach::Sequence };
        Signature::new(Type::TOKEN.to_bool())
            .input(Input::field("old_log_prob", Type::TOKEN).detached())
            .input(Input::field("rollout_log_prob", Type::TOKEN).detached())
            .reach(reach)
            .interval(Interval::UNIT)
            .detached()
    }

    fn check(&self) -> Result<(), ArgError> {
        let Bounds { lo, hi } = self.bounds;
        if lo >= hi {
            return Err(ArgError::new(
                "bounds",
                format!("expected `bounds` from low to high, found {lo} .. {hi}"),
            )
            .help(format!("a limit from above is written `bounds = 0 .. {hi}`")));
        }
        ArgError::positive("guard", self.guard)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let moved = ctx.input("old_log_prob") - ctx.input("rollout_log_prob");
        let moved = moved.clamp(-self.guard, self.guard);
        let of_token = match self.statistic {
            Statistic::Ratio => moved,
            Statistic::K2 => moved.square() * 0.5,
            Statistic::K3 => moved.expm1() - moved,
        };
        let statistic = match self.level {
            Level::Token => of_token,
            Level::SeqSum => on_tokens(ctx, &ctx.seq_sum(&of_token)),
            Level::SeqMean => on_tokens(ctx, &ctx.seq_mean(&of_token)),
            Level::SeqMax => {
                let lowest = of_token.full_like(f64::NEG_INFINITY);
                on_tokens(ctx, &of_token.where_self(ctx.mask(), &lowest).amax([1i64].as_slice(), false))
            }
        };
        let Bounds { lo, hi } = match self.statistic {
            // Without a lower bound the logarithm of the ratio has none either.
            Statistic::Ratio => Bounds::new(self.bounds.lo.max(0.0).ln(), self.bounds.hi.ln()),
            Statistic::K2 | Statistic::K3 => self.bounds,
        };
        Ok(statistic.ge(lo).logical_and(&statistic.le(hi)).into())
    }
}
