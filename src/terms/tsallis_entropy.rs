//! Tsallis' entropy of the policy.

use super::renyi_entropy::{LOG_SUM, check_order};
use crate::plugin::prelude::*;

/// Tsallis' entropy of the policy over the whole vocabulary.
///
/// Formula, with `z = logits / temperature` and `p = softmax z`:
///
///     T = (1 - Σ_v p[v]^q) / (q - 1),   Σ_v p[v]^q = exp(log Σ_v exp(q z[v]) - q · log Σ_v exp z[v])
///
/// At `q = 2` it is `1 - Σ p²`, the chance that two samples differ.
///
/// The sum of powers is a statistic of the same row at another temperature: one more pass, nothing of vocabulary size.
///
/// Result: in `0 .. (V^(1-q) - 1) / (1-q)`; not in nats.
///
/// Gradient: `∂T/∂z[v] = q Σ_u p[u]^q / (1 - q) · (p_q[v] - p[v])`, with `p_q = softmax(q z)`.
///
/// Errors: a `q` within 0.001 of 1, where it is `entropy()`.
///
/// Source: Tsallis 1988; as a bonus in Lee et al., arXiv 1709.06293 (`q = 2`), and in Tsallis reinforcement learning,
/// arXiv 1902.00137.
#[term(name = "tsallis_entropy", example = "tsallis_entropy(q = 2)")]
struct TsallisEntropy {
    /// The order: above 1 the gradient all but spares tokens that are unlikely.
    #[param(above = 0)]
    q: f64,
}

impl Term for TsallisEntropy {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(LOG_SUM)
            .row(LOG_SUM)
            .interval(Interval::NON_NEGATIVE)
            .unit(Unit::Entropy)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        let most = if self.q > 1.0 { (self.q - 1.0).recip() } else { f64::INFINITY };
        declared.interval(Interval::new(0.0, most)).rows([LOG_SUM, LOG_SUM.power(self.q)])
    }

    fn check(&self) -> Result<(), ArgError> {
        check_order("q", self.q)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        // A row that is nearly certain has a sum of powers just below 1, whose digits `expm1` keeps.
        let log_sum = ctx.row(1) - ctx.row(0) * self.q;
        Ok((log_sum.expm1() / (1.0 - self.q)).into())
    }
}
