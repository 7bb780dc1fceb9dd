//! The log-probability of the sampled token.

use crate::plugin::prelude::*;

/// The log-probability of the sampled token under the policy, in nats.
///
/// Formula, with `z = logits / temperature` and the sampled token `a`:
///
///     log_prob = z[a] - log Σ_v exp z[v]
///
/// It is computed from `logits` and `actions`, unless the batch brings a `log_prob` of its own. The batch field
/// `log_prob`, without parentheses, is the same value.
///
/// Result: at most 0, in the kind of the computation (f32 for f16 and bf16 logits).
///
/// Gradient: `∂/∂z[v] = 1[v = a] - p[v]`. A sampled token whose logit is `-inf` has the value `-inf`.
///
/// Source: the log-likelihood of REINFORCE (Williams 1992); verl `logprobs_from_logits`, TRL
/// `selective_log_softmax`, AReaL `gather_logprobs`.
#[term(name = "log_prob", example = "log_prob()")]
struct LogProb {}

impl Term for LogProb {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::LogProb))
            .interval(Interval::NON_POSITIVE)
            .unit(Unit::LogProb)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
