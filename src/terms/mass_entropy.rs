//! The entropy of whether a token comes from the likely ones.

use super::token_set::Asked;
use crate::plugin::prelude::*;

/// The entropy, in nats, of one question: whether the next token is among the likely ones.
///
/// Formula, with the share `M` of the softmax of `logits / temperature` that the row's token set has:
///
///     h = -M log M - (1 - M) log(1 - M),   and 0 where M is 0 or 1
///
/// With `clamped_entropy` of the same set it makes up the full entropy, which is
/// `h + M · clamped_entropy + (1 - M) · (entropy of the rest)`.
///
/// Exactly one of `drop`, `top_k`, `top_p` and `min_p` says which tokens the set has, as in `clamped_entropy`.
///
/// Result: in `0 .. ln 2`.
///
/// Gradient: `∂h/∂z[v] = log((1 - M) / M) · p[v] (s[v] - M)`, with `s[v]` 1 in the set and 0 outside. The set is a
/// constant.
///
/// A `temperature` of its own costs one more pass over each row, which is in the cache then: nothing is read twice from
/// memory.
///
/// Errors: none or several of the four arguments.
///
/// Source: the chain rule of entropy, Shannon 1948.
#[term(name = "mass_entropy", example = "mass_entropy(top_k = 3)")]
struct MassEntropy {
    /// Leaves out the `floor(drop · V)` tokens with the lowest logits.
    #[param(
        min = 0,
        below = 1,
        help = "`drop` is the part of the vocabulary that is left out; `drop = 30%` keeps the likeliest 70%"
    )]
    drop: Option<f64>,
    /// Keeps this many tokens with the highest logits, or all where the vocabulary has no more.
    #[param(min = 1, help = "`top_k` is the number of tokens that are kept")]
    top_k: Option<i64>,
    /// Keeps the smallest set of the likeliest tokens whose probability mass reaches this number.
    #[param(above = 0, max = 1, help = "`top_p` is the probability mass that is kept; `top_p = 95%`")]
    top_p: Option<f64>,
    /// Keeps the tokens whose probability is at least this share of the highest.
    #[param(above = 0, max = 1, help = "`min_p` is measured against the likeliest token; `min_p = 5%`")]
    min_p: Option<f64>,
    /// Divides the logits, instead of the file's `set temperature`.
    #[param(above = 0, help = "a temperature divides the logits; `temperature = 1` is the policy itself")]
    temperature: Option<f64>,
}

impl MassEntropy {
    fn asked(&self) -> Asked {
        Asked { drop: self.drop, top_k: self.top_k, top_p: self.top_p, min_p: self.min_p, within: None }
    }
}

impl Term for MassEntropy {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::Mass))
            .interval(Interval::new(0.0, std::f64::consts::LN_2))
            .unit(Unit::Entropy)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        declared.rows([Row::new(self.asked().set(), Statistic::Mass).temperature(self.temperature)])
    }

    fn check(&self) -> Result<(), ArgError> {
        self.asked().check("write `mass_entropy(top_k = 20)`")
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let mass = ctx.row(0);
        // The logarithms have no derivative at the ends: they are kept away from there.
        let open = mass.gt(0.0).logical_and(&mass.lt(1.0));
        let inside = open.where_cond(mass, &mass.full_like(0.5));
        let rest: Tensor = 1.0 - &inside;
        let entropy = -(&inside * inside.log() + &rest * rest.log());
        Ok(open.where_cond(&entropy, &entropy.zeros_like()).into())
    }
}
