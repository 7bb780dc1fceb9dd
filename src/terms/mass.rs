//! The policy's probability of its likely tokens, or of listed ones.

use super::token_set::Asked;
use crate::plugin::prelude::*;

/// The probability that the policy gives to its own likely tokens, or to tokens that the batch lists.
///
/// Formula, with `p` the softmax of `logits / temperature` over all tokens and the row's token set `S`:
///
///     M = Σ_{v ∈ S} p[v]
///
/// Exactly one of `drop`, `top_k`, `top_p`, `min_p` and `within` says which tokens the set has: the first four as in
/// `clamped_entropy`, `within` those that the batch lists for each row, padded with -1. A row without any listed token has the
/// result 0 and the gradient 0.
///
/// Result: in `0 .. 1`.
///
/// Gradient: `∂M/∂z[v] = p[v] (s[v] - M)`, with `s[v]` 1 in the set and 0 outside. The set is a constant.
///
/// Use: `-log(mass(min_p = 5%))` moves probability from the tail to the likely tokens; `1 - mass(top_k = 20)` is how
/// much probability the tail has, and `mass(within = teacher_ids)` how much the policy gives to a teacher's top-k.
///
/// A `temperature` of its own costs one more pass over each row, which is in the cache then: nothing is read twice from
/// memory.
///
/// Errors: none or several of the five arguments.
///
/// Source: the head mass of distillation on a top-k; Lp-Reg's set, arXiv 2510.03222, is `min_p`.
#[term(name = "mass", example = "mass(top_k = 3)")]
struct Mass {
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
    /// Takes the tokens that the batch lists: `input kept: candidates id`.
    within: Option<TokenList>,
    /// Divides the logits, instead of the file's `set temperature`.
    #[param(above = 0, help = "a temperature divides the logits; `temperature = 1` is the policy itself")]
    temperature: Option<f64>,
}

impl Mass {
    fn asked(&self) -> Asked {
        Asked {
            drop: self.drop,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            within: self.within,
        }
    }
}

impl Term for Mass {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::Mass))
            .interval(Interval::UNIT)
            .unit(Unit::Probability)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        declared.rows([Row::new(self.asked().set(), Statistic::Mass).temperature(self.temperature)])
    }

    fn check(&self) -> Result<(), ArgError> {
        let names = "`drop`, `top_k`, `top_p`, `min_p` and `within`";
        self.asked().check_among(names, "write `mass(top_k = 20)`")
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
