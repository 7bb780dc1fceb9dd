//! Rényi's entropy of the policy.

use crate::plugin::prelude::*;

/// Rényi's entropy of the policy over the whole vocabulary, in nats.
///
/// Formula, with `z = logits / temperature` and `p = softmax z`:
///
///     R = log Σ_v p[v]^alpha / (1 - alpha) = (log Σ_v exp(alpha z[v]) - alpha · log Σ_v exp z[v]) / (1 - alpha)
///
/// At `alpha = 2` it is `-log Σ p²`, the collision entropy.
///
/// The sum of powers is a statistic of the same row at another temperature: one more pass, nothing of vocabulary size.
///
/// Result: in `0 .. ln V`.
///
/// Gradient: `∂R/∂z[v] = alpha / (1 - alpha) · (p_alpha[v] - p[v])`, with `p_alpha = softmax(alpha z)`.
///
/// Errors: an `alpha` within 0.001 of 1, where it is `entropy()` and the quotient has no digits left.
///
/// Source: Rényi 1961; `alpha = 2` gives the sum of squared probabilities of verl's optimal token baseline.
#[term(name = "renyi_entropy", example = "renyi_entropy(alpha = 2)")]
struct RenyiEntropy {
    /// The order: below 1 unlikely tokens count for more than in Shannon's entropy, above 1 for less.
    #[param(above = 0)]
    alpha: f64,
}

/// The logarithm of the sum of powers, here to the power 1.
pub(super) const LOG_SUM: Row = Row::new(TokenSet::All, Statistic::LogSumExp);

/// Requires an order that is not that of Shannon's entropy.
pub(super) fn check_order(name: &'static str, order: f64) -> Result<(), ArgError> {
    if (order - 1.0).abs() >= 1e-3 {
        return Ok(());
    }
    Err(ArgError::new(name, format!("expected `{name}` at least 0.001 away from 1, found {order}"))
        .help("at 1 it is `entropy()`"))
}

impl Term for RenyiEntropy {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(LOG_SUM)
            .row(LOG_SUM)
            .interval(Interval::NON_NEGATIVE)
            .unit(Unit::Entropy)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        declared.rows([LOG_SUM, LOG_SUM.power(self.alpha)])
    }

    fn check(&self) -> Result<(), ArgError> {
        check_order("alpha", self.alpha)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(((ctx.row(1) - ctx.row(0) * self.alpha) / (1.0 - self.alpha)).into())
    }
}
