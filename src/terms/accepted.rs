//! Which tokens or sequences are near enough to the policy that sampled them.

use super::surrogate::on_tokens;
use crate::plugin::prelude::*;

/// Whether a token, or its whole sequence, is near enough to what the inference engine sampled from.
///
/// Formula, with `l = clamp(old_log_prob - rollout_log_prob, -guard, guard)`:
///
///     statistic   ratio: l     k2: l² / 2     k3: exp(l) - 1 - l
///     level       token: of the token     seq_sum, seq_mean, seq_max: over the tokens of its sequence
///
/// A token is accepted where the statistic is within `bounds`, both ends included. For `"ratio"` the bounds are
/// those of the ratio `exp(l)`: of the token's, with `seq_sum` of the product over the sequence, with
/// `seq_mean` of the geometric mean, with `seq_max` of the largest.
///
/// For the distance of the policy being trained write `accepted(old_log_prob = log_prob, ...)`.
///
/// In use elsewhere: Geo-RS of verl, `level = "seq_mean", bounds = 0.999 .. 1.001`; TRL's default mode
/// `sequence_mask`, `level = "seq_sum", bounds = 0 .. 3`; TorchRL `statistic = "k2"` per token. verl's `k1` is
/// the ratio turned over: its bounds `0.5_4.0` hold for rollout over train, and are `bounds = 0.25 .. 2` here.
///
/// Result: where rejected tokens still count in the denominator, as in AReaL, write
/// `token_mean(where(accepted(...), policy, 0))`; where they do not, as in verl,
/// `kept_mean(policy, accepted(...))` with `"std/masks.aent"`.
///
/// Gradient: none.
///
/// Errors: `bounds` whose ends are equal or crossed.
///
/// Source: verl `rollout_corr_helper.py` (`rollout_rs`), AReaL `rejection_sampling`, TRL
/// `vllm_importance_sampling_mode`, OpenRLHF and NeMo-RL `seq-mask-tis`.
#[term(
    name = "accepted",
    example = "accepted(statistic = \"k3\", level = \"seq_mean\", bounds = 0 .. 0.05)",
    aliases = [
        Alias::new("rollout_rs", "verl"),
        Alias::new("rejection_sampling", "AReaL"),
        Alias::new("sequence_mask", "TRL").remark("with `level = \"seq_sum\"`"),
    ]
)]
struct Accepted {
    /// The accepted range of the statistic; a limit from above alone is written `0 .. 0.01`.
    bounds: Bounds,
    /// The measure of the distance between the two policies.
    #[param(default = "ratio")]
    statistic: Statistic,
    /// The tokens that the statistic covers: one, or all of its sequence.
    #[param(default = "token")]
    level: Level,
    /// Bounds the log-ratio of a token, as verl does.
    #[param(default = 20, above = 0)]
    guard: f64,
}

#[choice]
enum Statistic {
    Ratio,
    K2,
    K3,
}

#[choice]
enum Level {
    Token,
    SeqSum,
    SeqMean,
    SeqMax,
}

impl Term for Accepted {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN.to_bool())
            .input(Input::field("old_log_prob", Type::TOKEN).detached())
            .input(Input::field("rollout_log_prob", Type::TOKEN).detached())
            .reach(Reach::Sequence)
            .interval(Interval::UNIT)
            .detached()
    }

    fn resolve(&self, declared: Signature) -> Signature {
        if self.level == Level::Token { declared.reach(Reach::Token) } else { declared }
    }

    fn check(&self) -> Result<(), ArgError> {
        let Bounds { lo, hi } = self.bounds;
        if lo < hi {
            return Ok(());
        }
        Err(ArgError::new("bounds", format!("expected `bounds` from low to high, found {lo} .. {hi}"))
            .help(format!("a limit from above is written `bounds = 0 .. {hi}`")))
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
                on_tokens(ctx, &ctx.mask().where_cond(&of_token, &lowest).amax(1, false))
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
