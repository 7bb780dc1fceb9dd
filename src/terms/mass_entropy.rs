//! The entropy of whether a token comes from the likely ones.

use super::token_set::Asked;
use crate::plugin::prelude::*;

crate::term! {
    /// The entropy of one question: whether the next token is among the likely ones. In nats.
    ///
    /// Formula, with the share `M` of the softmax of `logits / temperature` that lies in the row's token set:
    ///
    ///     h = -M log M - (1 - M) log(1 - M),   and 0 where M is 0 or 1
    ///
    /// Together with `clamped_entropy` of the same set it is what the full entropy knows of the set: the entropy is
    /// `h + M · clamped_entropy + (1 - M) · (entropy of the rest)`.
    ///
    /// Exactly one of `drop`, `top_k`, `top_p` and `min_p` says what the set of a row is, as in `clamped_entropy`.
    ///
    /// Result: token, in `0 .. ln 2`.
    ///
    /// Gradient: `∂h/∂z[v] = log((1 - M) / M) · p[v] (s[v] - M)`, with `s[v]` 1 in the set and 0 outside. The set is a constant.
    ///
    /// Errors: none or several of the four arguments; one out of its range.
    ///
    /// Source: the chain rule of entropy, Shannon 1948.
    "mass_entropy" => MassEntropy, example = "mass_entropy(top_k = 3)"
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MassEntropy {
    drop: Option<f64>,
    top_k: Option<i64>,
    top_p: Option<f64>,
    min_p: Option<f64>,
}

impl MassEntropy {
    fn asked(&self) -> Asked {
        Asked { drop: self.drop, top_k: self.top_k, top_p: self.top_p, min_p: self.min_p }
    }
}

impl Term for MassEntropy {
    fn signature(&self) -> Signature {
        let most = std::f64::consts::LN_2;
        Signature::new(Type::TOKEN).interval(Interval::new(0.0, most)).unit(Unit::Entropy)
    }

    fn rows(&self) -> Vec<Row> {
        vec![Row::new(self.asked().set(), Moment::Mass)]
    }

    fn check(&self) -> Result<(), ArgError> {
        self.asked().check("write `mass_entropy(top_k = 20)`")
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let mass = ctx.row(0);
        // The logarithms have no derivative at the ends: they are kept away from there.
        let open = mass.gt(0.0).logical_and(&mass.lt(1.0));
        let inside = mass.where_self(&open, &mass.full_like(0.5));
        let rest: Tensor = 1.0 - &inside;
        let entropy = -(&inside * inside.log() + &rest * rest.log());
        Ok(entropy.where_self(&open, &entropy.zeros_like()).into())
    }
}
