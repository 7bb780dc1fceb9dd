//! The entropy of the policy on its likeliest tokens.

use super::token_set::Asked;
use crate::plugin::prelude::*;

/// The entropy of the policy, renormalised on a set of likely tokens, in nats.
///
/// Formula, with `z = logits / temperature`, the row's token set `S` and `p = softmax z` over `S`:
///
///     H_S = log Σ_{v ∈ S} exp z[v] - Σ_{v ∈ S} p[v] z[v] = -Σ_{v ∈ S} p[v] log p[v]
///
/// Exactly one of `drop`, `top_k`, `top_p` and `min_p` says which tokens the set has. None has a default: AEnt's code
/// defaults to `drop = 0.2`, its example to 0.4, its read-me to 0.3. Ties at the border are broken toward the lower
/// token id.
///
/// Result: in `0 .. ln |S|` (`0 .. ln k` for `top_k`), in the kind of the computation (f32 for f16 and bf16 logits).
/// `log_prob` stays that of the whole vocabulary.
///
/// Gradient: `∂H_S/∂z[v] = -p[v] (log p[v] + H_S)` in the set, 0 outside. The set is a constant.
///
/// A `temperature` of its own costs one more pass over each row, which is in the cache then: nothing is read twice from
/// memory.
///
/// Errors: none or several of the four arguments.
///
/// Source: AEnt, arXiv 2509.03493, and AReaL's recipe `AEnt` (`entropy_clamp` is `drop`); with `top_p` the
/// nucleus of Holtzman et al., arXiv 1904.09751.
#[term(name = "clamped_entropy", example = "clamped_entropy(drop = 30%)")]
struct ClampedEntropy {
    /// Leaves out the `floor(drop · V)` tokens with the lowest logits: AEnt's clamping.
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

impl ClampedEntropy {
    fn asked(&self) -> Asked {
        Asked { drop: self.drop, top_k: self.top_k, top_p: self.top_p, min_p: self.min_p, within: None }
    }
}

impl Term for ClampedEntropy {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::Entropy))
            .interval(Interval::NON_NEGATIVE)
            .unit(Unit::Entropy)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        let set = self.asked().set();
        let declared = declared.rows([Row::new(set, Statistic::Entropy).temperature(self.temperature)]);
        match set {
            TokenSet::TopK(k) if k >= 1 => declared.interval(Interval::new(0.0, (k as f64).ln())),
            _ => declared,
        }
    }

    fn check(&self) -> Result<(), ArgError> {
        self.asked().check("write `clamped_entropy(drop = 30%)`, or `entropy()` for the whole vocabulary")
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
