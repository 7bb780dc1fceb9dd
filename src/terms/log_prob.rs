//! The log-probability of the sampled token.

use crate::plugin::prelude::*;

/// The log-probability of the sampled token under the policy, in nats.
///
/// Formula, with `z = logits / temperature` and the sampled token `a`:
///
///     log_prob = z[a] - log Σ_v exp z[v]
///
/// It is computed from `logits` and `actions`, unless the batch brings a `log_prob` of its own. The batch field
/// `log_prob`, without parentheses, is the same value. At a temperature of its own it is always computed.
///
/// With `within`, the sum goes over the tokens `S` that the batch lists for each row, padded with -1. Where the inference
/// engine sampled from its top-k or top-p, this replays its sets: `log_prob(within = kept)` is what it sampled from, so that
/// a ratio to its log-probabilities is 1 on policy. The sampled token has to be in its list, which is refused otherwise
/// unless nothing is validated; then the formula holds all the same and is above 0 where the list has less probability than
/// the token. A row without any listed token has the result 0 and the gradient 0.
///
/// Result: at most 0, in the kind of the computation (f32 for f16 and bf16 logits).
///
/// Gradient: `∂/∂z[v] = 1[v = a] - p[v]`, with `within` that of the policy renormalised on the list. A sampled token whose logit is `-inf` has the value `-inf`.
///
/// A `temperature` of its own costs one more pass over each row, which is in the cache then: nothing is read twice from
/// memory.
///
/// Source: the log-likelihood of REINFORCE (Williams 1992); verl `logprobs_from_logits`, TRL
/// `selective_log_softmax`, AReaL `gather_logprobs`. With `within`: Keep Sampling Mask, DeepSeek-V3.2,
/// arXiv 2512.02556; vLLM `return_sampling_mask`, slime `log_prob_keep_mask`.
#[term(name = "log_prob", example = "log_prob()")]
struct LogProb {
    /// The tokens on which the policy is renormalised, listed by the batch: `input kept: candidates id`.
    within: Option<TokenList>,
    /// Divides the logits, instead of the file's `set temperature`.
    #[param(above = 0, help = "a temperature divides the logits; `temperature = 1` is the policy itself")]
    temperature: Option<f64>,
}

impl Term for LogProb {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::LogProb))
            .interval(Interval::NON_POSITIVE)
            .unit(Unit::LogProb)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        let row = match self.within {
            Some(within) => Row::new(TokenSet::Given(within.name()), Statistic::LogProbWithin),
            None => Row::new(TokenSet::All, Statistic::LogProb),
        };
        declared.rows([row.temperature(self.temperature)])
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
