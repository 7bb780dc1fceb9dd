//! The probability that a policy gives to its unlikely tokens.

use aent::plugin::prelude::*;

/// The probability mass outside the `k` likeliest tokens.
///
/// Formula, with `p = softmax(logits / temperature)` and the `k` tokens `S` with the highest logits:
///
///     tail_mass = 1 - Σ_{v ∈ S} p[v]
///
/// As a penalty it keeps a policy from leaking into a large vocabulary, and leaves the likely tokens alone. As a
/// metric it says how much a sampler with `top_k` would cut off.
///
/// Result: a probability.
///
/// Gradient: `p[v] (1[v ∉ S] - tail_mass)`. The set is a constant.
///
/// Source: the tail that top-k sampling removes, Fan et al., arXiv 1805.04833.
#[term(name = "template::tail_mass", example = "template::tail_mass(k = 64)")]
struct TailMass {
    /// How many tokens are not the tail; where the vocabulary has no more, the result is 0.
    #[param(min = 1, help = "`k` is the number of tokens that are not the tail")]
    k: i64,
}

impl Term for TailMass {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::Mass))
            .interval(Interval::UNIT)
            .unit(Unit::Probability)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        declared.rows([Row::new(TokenSet::TopK(self.k), Statistic::Mass)])
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok((1.0_f64 - ctx.row(0)).into())
    }
}
