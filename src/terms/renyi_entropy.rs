//! Rényi's entropy of the policy.

use crate::plugin::prelude::*;

crate::term! {
    /// Rényi's entropy of the policy over the whole vocabulary, in nats.
    ///
    /// Formula, with `z = logits / temperature` and `p = softmax z`:
    ///
    ///     R = log Σ_v p[v]^alpha / (1 - alpha) = (log Σ_v exp(alpha z[v]) - alpha · log Σ_v exp z[v]) / (1 - alpha)
    ///
    /// - `alpha`, positive, and not within 0.001 of 1, where it is `entropy()` and the quotient has no digits left. Below 1
    ///   unlikely tokens count for more than in Shannon's entropy, above 1 for less; at 2 it is `-log Σ p²`, the
    ///   collision entropy
    ///
    /// The sum of powers is a statistic of the same row at another temperature: one more pass, nothing of vocabulary size.
    ///
    /// Result: token, in `0 .. ln V`.
    ///
    /// Gradient: `∂R/∂z[v] = alpha / (1 - alpha) · (p_alpha[v] - p[v])`, with `p_alpha = softmax(alpha z)`.
    ///
    /// Errors: an `alpha` that is not positive, or too near to 1.
    ///
    /// Source: Rényi 1961; `alpha = 2` gives the sum of squared probabilities of verl's optimal token baseline.
    "renyi_entropy" => RenyiEntropy, example = "renyi_entropy(alpha = 2)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenyiEntropy {
    alpha: f64,
}

/// Requires an order that is positive and not that of Shannon's entropy.
pub(super) fn check_order(name: &'static str, order: f64) -> Result<(), ArgError> {
    ArgError::positive(name, order)?;
    if (order - 1.0).abs() >= 1e-3 {
        return Ok(());
    }
    Err(ArgError::new(name, format!("expected `{name}` at least 0.001 away from 1, found {order}"))
        .help("at 1 it is `entropy()`"))
}

impl Term for RenyiEntropy {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN).interval(Interval::NON_NEGATIVE).unit(Unit::Entropy)
    }

    fn rows(&self) -> Vec<Row> {
        let sum = Row::new(TokenSet::All, Moment::LogSumExp);
        vec![sum, sum.power(self.alpha)]
    }

    fn check(&self) -> Result<(), ArgError> {
        check_order("alpha", self.alpha)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(((ctx.row(1) - ctx.row(0) * self.alpha) / (1.0 - self.alpha)).into())
    }
}
