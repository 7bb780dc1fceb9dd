//! The divergence between the policy and the reference over the whole vocabulary, through their mixture.

use super::taught::Asked;
use crate::plugin::prelude::*;

/// The generalised Jensen-Shannon divergence between the policy and the reference over the whole vocabulary, in nats.
///
/// Formula, with `π = softmax(logits / temperature)`, `ρ = softmax(ref_logits / temperature)` and their mixture
/// `m = β ρ + (1-β) π`:
///
///     JS_β = β KL(ρ‖m) + (1-β) KL(π‖m)
///
/// It is finite whatever either bans. Toward `β = 0`, `JS_β / β` becomes `forward_kl`; toward 1, `JS_β / (1-β)`
/// becomes `reverse_kl`. TRL's and Liger's `beta` of exactly 0 and 1 are these two, which are terms of their own here.
///
/// The batch brings `ref_logits` `[B, T, V]`, of the kind of `logits`, or `ref_hidden` `[B, T, D]` with `ref_lm_head`
/// `[V, D]` (and `ref_lm_head_bias` `[V]`). The reference is a constant for the gradient.
///
/// `of` takes another policy in place of the reference: with `input math: logits`, `of = math` reads the field `math`, or
/// `math_hidden` with `math_lm_head` (and `math_lm_head_bias`). Each reference is read once, in the same pass.
///
/// On a teacher's top-k, `within` lists tokens for each row, padded with -1, and `of` has the teacher's log-probabilities
/// beside them; what stands at a pad is not read. The sum goes over these tokens, and `rest` says what becomes of the others:
///
/// - `"bucket"`: they are one more token, with the rest of each side's probability, at least `1 - exp(-1e-7)`. This is
///   TRL's SDPO with `distillation_add_tail`;
/// - `"renormalise"`: both sides are divided by their sums over the list. This is TRL's SDPO without it, and NeMo-RL's
///   `DistillationLossFn` without `zero_outside_topk`;
/// - `"ignore"`: they are left out, and both sides keep their probabilities over all tokens, so that the result may be
///   negative. This is verl's `jsd_topk` before its clamps.
///
/// A row without any listed token has the result 0 and the gradient 0.
///
/// Result: in `0 .. ln 2`, in the kind of the computation (f32 for f16 and bf16 logits).
///
/// Gradient: `∂JS/∂z[v] = (1-β) π[v] (log (π[v] / m[v]) - KL(π‖m))`, divided by the temperature.
///
/// A `temperature` of its own costs one more pass over each row, which is in the cache then: nothing is read twice from
/// memory. It divides the logits of both sides; a teacher's log-probabilities are taken as they are.
///
/// Errors: some of `within`, `of` and `rest` without the others.
///
/// Source: Agarwal et al. 2023, arXiv 2306.13649; TRL `GKDTrainer.generalized_jsd_loss`, Liger
/// `LigerFusedLinearJSD`.
#[term(name = "jensen_shannon", example = "jensen_shannon(beta = 0.5)")]
struct JensenShannon {
    /// The reference's share of the mixture, `β`.
    #[param(
        default = 0.5,
        above = 0,
        below = 1,
        help = "at the ends it is `forward_kl()` and `reverse_kl()`"
    )]
    beta: f64,
    /// The tokens on which a teacher is known: `input teacher_ids: candidates id`.
    within: Option<TokenList>,
    /// The teacher's log-probabilities of these tokens, `input teacher_log_prob: candidates`; without `within`, another policy to
    /// compare with, `input teacher: logits`.
    of: Option<Teacher>,
    /// What becomes of the other tokens.
    rest: Option<Rest>,
    /// Divides the logits, instead of the file's `set temperature`.
    #[param(above = 0, help = "a temperature divides the logits; `temperature = 1` is the policy itself")]
    temperature: Option<f64>,
}

impl JensenShannon {
    fn asked(&self) -> Asked {
        Asked { within: self.within, of: self.of, rest: self.rest, temperature: self.temperature }
    }
}

impl Term for JensenShannon {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::JensenShannon(0.5)))
            .interval(Interval::new(0.0, std::f64::consts::LN_2))
            .unit(Unit::Divergence)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        let of_all = Statistic::JensenShannon(self.beta);
        self.asked().resolve(declared, of_all, Divergence::JensenShannon(self.beta))
    }

    fn check(&self) -> Result<(), ArgError> {
        self.asked().check("jensen_shannon")
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
