//! The entropy of the policy over the whole vocabulary.

use crate::plugin::prelude::*;

/// The entropy of the policy over the whole vocabulary, in nats.
///
/// Formula, with `z = logits / temperature` and `p = softmax z`:
///
///     H = log Σ_v exp z[v] - Σ_v p[v] z[v] = -Σ_v p[v] log p[v]
///
/// A token with probability 0 (logit `-inf`) adds 0. It is the entropy of the tempered distribution.
///
/// With `within`, the sums go over the tokens that the batch lists for each row, padded with -1, as for `clamped_entropy`
/// over a set of the policy's own. A row without any has the result 0 and the gradient 0.
///
/// Result: in `0 .. ln V`, in the kind of the computation (f32 for f16 and bf16 logits).
///
/// Gradient: `∂H/∂z[v] = -p[v] (log p[v] + H)`.
///
/// Use: as a bonus, `loss = ... - beta * token_mean(entropy())`. Over a large vocabulary most of its gradient
/// goes to tokens that are never right; `clamped_entropy` leaves those out.
///
/// A `temperature` of its own costs one more pass over each row, which is in the cache then: nothing is read twice from
/// memory.
///
/// Source: Williams and Peng 1991; verl `entropy_from_logits`, TRL `entropy_from_logits`, OpenRLHF
/// `compute_entropy`.
#[term(name = "entropy", example = "entropy()")]
struct Entropy {
    /// The tokens on which the policy is renormalised, listed by the batch: `input kept: candidates id`.
    within: Option<TokenList>,
    /// Divides the logits, instead of the file's `set temperature`.
    #[param(above = 0, help = "a temperature divides the logits; `temperature = 1` is the policy itself")]
    temperature: Option<f64>,
}

impl Term for Entropy {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::Entropy))
            .interval(Interval::NON_NEGATIVE)
            .unit(Unit::Entropy)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        let listed = self.within.map(|within| TokenSet::Given(within.name()));
        let row = Row::new(listed.unwrap_or(TokenSet::All), Statistic::Entropy);
        declared.rows([row.temperature(self.temperature)])
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
