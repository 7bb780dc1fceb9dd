//! The entropy of the policy on its likeliest tokens.

use super::token_set::Asked;
use crate::plugin::prelude::*;

crate::term! {
    /// The entropy of the policy, renormalised on a set of likely tokens, in nats.
    ///
    /// Formula, with `z = logits / temperature`, the row's token set `S` and `p = softmax z` over `S`:
    ///
    ///     H_S = log Σ_{v ∈ S} exp z[v] - Σ_{v ∈ S} p[v] z[v] = -Σ_{v ∈ S} p[v] log p[v]
    ///
    /// Exactly one argument says what the set of a row is:
    ///
    /// - `drop = p`: all but the `floor(p·V)` tokens with the lowest logits, `0 <= p < 1`; the paper's clamping
    /// - `top_k = k`: the `k` tokens with the highest logits, `k >= 1`; all of them where `k >= V`
    /// - `top_p = q`: the smallest set of highest-probability tokens whose mass reaches `q`, `0 < q <= 1`
    /// - `min_p = r`: tokens whose probability is at least `r` times the highest, `0 < r <= 1`
    ///
    /// None has a default: AEnt's code defaults to `drop = 0.2`, its example to 0.4, its read-me to 0.3. Ties at
    /// the border are broken toward the lower token id.
    ///
    /// Result: token, in `0 .. ln |S|` (`0 .. ln k` for `top_k`), in the kind of the computation (f32 for f16 and
    /// bf16 logits). `log_prob` stays that of the whole vocabulary.
    ///
    /// Gradient: `∂H_S/∂z[v] = -p[v] (log p[v] + H_S)` in the set, 0 outside. The set is a constant.
    ///
    /// Errors: none or several of the four arguments; one out of its range.
    ///
    /// Source: AEnt, arXiv 2509.03493, and AReaL's recipe `AEnt` (`entropy_clamp` is `drop`); with `top_p` the
    /// nucleus of Holtzman et al., arXiv 1904.09751.
    "clamped_entropy" => ClampedEntropy, example = "clamped_entropy(drop = 30%)"
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClampedEntropy {
    drop: Option<f64>,
    top_k: Option<i64>,
    top_p: Option<f64>,
    min_p: Option<f64>,
}

impl ClampedEntropy {
    fn asked(&self) -> Asked {
        Asked { drop: self.drop, top_k: self.top_k, top_p: self.top_p, min_p: self.min_p }
    }
}

impl Term for ClampedEntropy {
    fn signature(&self) -> Signature {
        let interval = match self.asked().set() {
            TokenSet::TopK(k) if k >= 1 => Interval::new(0.0, (k as f64).ln()),
            _ => Interval::NON_NEGATIVE,
        };
        Signature::new(Type::TOKEN).interval(interval).unit(Unit::Entropy)
    }

    fn rows(&self) -> Vec<Row> {
        vec![Row::new(self.asked().set(), Moment::Entropy)]
    }

    fn check(&self) -> Result<(), ArgError> {
        self.asked().check("write `clamped_entropy(drop = 30%)`, or `entropy()` for the whole vocabulary")
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).shallow_clone().into())
    }
}
