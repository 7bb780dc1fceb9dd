//! The clipped surrogate on the geometric mean of a sequence's ratios.

use super::surrogate::{log_ratio, surrogate};
use crate::plugin::prelude::*;

crate::term! {
    /// The policy surrogate of a sequence: its mean advantage times the geometric mean of its clipped ratios.
    ///
    /// Formula, with the advantage `A` of a token:
    ///
    ///     d = clamp(log_prob - old_log_prob, -guard, guard)
    ///     c = sign(A) · min(sign(A) d, sign(A) clamp(d, -low, high))
    ///     L = -seq_mean(A) · exp(seq_mean(c))
    ///
    /// The range is one of log-ratios: `-0.4 .. 0.4` allows ratios of 0.67 to 1.49.
    ///
    /// Inputs: `log_prob`, `old_log_prob`, `advantages`, all token (an advantage per sequence is broadcast). The
    /// last two are constants for the gradient.
    ///
    /// - `low = 0.4` and `high = 0.4`, at least 0: the clip range of the log-ratio. 0.4 is the paper's; verl takes its
    ///   `clip_ratio` of 0.2
    /// - `guard = 20`, positive: bounds the log-ratio of a token, which verl and TRL do not
    ///
    /// Result: seq, in the unit of the advantages; reduce it with `batch_mean`. verl divides by all sequences, also
    /// those without a valid token. Extras: `ratio` (seq: the geometric mean) and `clipped` (token bool).
    ///
    /// Gradient: `-seq_mean(A) · exp(seq_mean(c)) / n` at each of the `n` tokens, and 0 where the clip binds: where
    /// `A > 0` and `d > high`, where `A < 0` and `d < -low`, and where `A = 0`.
    ///
    /// Errors: a negative end of the range; a guard that is not positive.
    ///
    /// Source: GMPO, arXiv 2507.20673; verl `compute_policy_loss_geo_mean`, TRL's experimental `gmpo`.
    ///
    /// Aliases: `geo_mean` (verl).
    "gmpo" => Gmpo, example = "gmpo(low = 0.2, high = 0.28)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Gmpo {
    low: f64,
    high: f64,
    guard: f64,
}

impl Default for Gmpo {
    fn default() -> Self {
        Self { low: 0.4, high: 0.4, guard: 20.0 }
    }
}

impl Term for Gmpo {
    fn signature(&self) -> Signature {
        surrogate(Type::SEQ)
            .extra(Extra::new("ratio", Type::SEQ).unit(Unit::Ratio))
            .extra(Extra::new("clipped", Type::TOKEN.to_bool()))
            .reach(Reach::Sequence)
    }

    fn check(&self) -> Result<(), ArgError> {
        for (name, value) in [("low", self.low), ("high", self.high)] {
            ArgError::non_negative(name, value)
                .map_err(|error| error.help("the log-ratio is clipped to `-low .. high`"))?;
        }
        ArgError::positive("guard", self.guard)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let advantages = ctx.input("advantages");
        let log_ratio = log_ratio(ctx).clamp(-self.guard, self.guard);
        let sign = advantages.sign();
        let free = &sign * &log_ratio;
        let bounded = &sign * log_ratio.clamp(-self.low, self.high);
        let clipped = bounded.lt_tensor(&free);
        let ratio = ctx.seq_mean(&(sign * free.minimum(&bounded))).exp();
        let value = -ctx.seq_mean(advantages) * &ratio;
        Ok(TermValue::from(value).with("ratio", ratio).with("clipped", clipped))
    }
}
