//! Tsallis' entropy of the policy.

use super::renyi_entropy::check_order;
use crate::plugin::prelude::*;

crate::term! {
    /// Tsallis' entropy of the policy over the whole vocabulary.
    ///
    /// Formula, with `z = logits / temperature` and `p = softmax z`:
    ///
    ///     T = (1 - Σ_v p[v]^q) / (q - 1),   Σ_v p[v]^q = exp(log Σ_v exp(q z[v]) - q · log Σ_v exp z[v])
    ///
    /// - `q`, positive, and not within 0.001 of 1, where it is `entropy()`. At 2 it is `1 - Σ p²`, the chance that two samples
    ///   differ; above 1 its gradient all but spares tokens that are unlikely
    ///
    /// The sum of powers is a statistic of the same row at another temperature: one more pass, nothing of vocabulary size.
    ///
    /// Result: token, in `0 .. (V^(1-q) - 1) / (1-q)`; not in nats.
    ///
    /// Gradient: `∂T/∂z[v] = q Σ_u p[u]^q / (1 - q) · (p_q[v] - p[v])`, with `p_q = softmax(q z)`.
    ///
    /// Errors: a `q` that is not positive, or too near to 1.
    ///
    /// Source: Tsallis 1988; as a bonus in Lee et al., arXiv 1709.06293 (`q = 2`), and in Tsallis reinforcement learning,
    /// arXiv 1902.00137.
    "tsallis_entropy" => TsallisEntropy, example = "tsallis_entropy(q = 2)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TsallisEntropy {
    q: f64,
}

impl Term for TsallisEntropy {
    fn signature(&self) -> Signature {
        let most = if self.q > 1.0 { (self.q - 1.0).recip() } else { f64::INFINITY };
        Signature::new(Type::TOKEN).interval(Interval::new(0.0, most)).unit(Unit::Entropy)
    }

    fn rows(&self) -> Vec<Row> {
        let sum = Row::new(TokenSet::All, Moment::LogSumExp);
        vec![sum, sum.power(self.q)]
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
