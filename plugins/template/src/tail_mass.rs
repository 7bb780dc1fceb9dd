//! The probability that a policy gives to its unlikely tokens.

use aent::plugin::prelude::*;

aent::term! {
    /// The probability mass outside the `k` likeliest tokens.
    ///
    /// Formula, with `p = softmax(logits / temperature)` and the `k` tokens `S` with the highest logits:
    ///
    ///     tail_mass = 1 - Σ_{v ∈ S} p[v]
    ///
    /// As a penalty it keeps a policy from leaking into a large vocabulary, and leaves the likely tokens alone. As a
    /// metric it says how much a sampler with `top_k` would cut off.
    ///
    /// - `k`, at least 1: how many tokens are not the tail; where `k` is the vocabulary or more, the result is 0
    ///
    /// Result: token, a probability.
    ///
    /// Gradient: `p[v] (1[v ∉ S] - tail_mass)`. The set is a constant.
    ///
    /// Errors: a `k` below 1.
    ///
    /// Source: the tail that top-k sampling removes, Fan et al., arXiv 1805.04833.
    "template::tail_mass" => TailMass, example = "template::tail_mass(k = 64)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TailMass {
    k: i64,
}

impl Term for TailMass {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN).interval(Interval::UNIT).unit(Unit::Probability)
    }

    fn rows(&self) -> Vec<Row> {
        vec![Row::new(TokenSet::TopK(self.k), Moment::Mass)]
    }

    fn check(&self) -> Result<(), ArgError> {
        if self.k >= 1 {
            return Ok(());
        }
        Err(ArgError::new("k", format!("expected a `k` of at least 1, found {}", self.k))
            .help("`k` is the number of tokens that are not the tail"))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok((1.0_f64 - ctx.row(0)).into())
    }
}
