//! The divergence from the reference policy over the whole vocabulary, weighed by the reference.

use super::taught::Asked;
use crate::plugin::prelude::*;

/// The divergence of the reference from the policy over the whole vocabulary, in nats: `KL(ρ‖π)`.
///
/// Formula, with `π = softmax(logits / temperature)` and `ρ = softmax(ref_logits / temperature)`:
///
///     KL(ρ‖π) = Σ_v ρ[v] (log ρ[v] - log π[v])
///
/// A token that the reference bans adds 0; one that only the policy bans makes it infinite.
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
///   negative. This is verl's `forward_kl_topk` before its clamps.
///
/// A row without any listed token has the result 0 and the gradient 0.
///
/// Result: never negative, in the kind of the computation (f32 for f16 and bf16 logits).
///
/// Gradient: `∂KL/∂z[v] = π[v] - ρ[v]`, divided by the temperature: that of learning from soft labels.
///
/// Use: as a penalty it covers modes: the policy keeps whatever the reference finds likely. With a teacher as the
/// reference it is distillation.
///
/// A `temperature` of its own costs one more pass over each row, which is in the cache then: nothing is read twice from
/// memory. It divides the logits of both sides; a teacher's log-probabilities are taken as they are.
///
/// Errors: some of `within`, `of` and `rest` without the others.
///
/// Source: Hinton et al. 2015, arXiv 1503.02531; Agarwal et al. 2023, arXiv 2306.13649, as TRL's GKD with
/// `beta = 0`; Liger `LigerFusedLinearJSD` with `jsd_beta = 0`.
#[term(name = "forward_kl", example = "forward_kl()")]
struct ForwardKl {
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

impl ForwardKl {
    fn asked(&self) -> Asked {
        Asked { within: self.within, of: self.of, rest: self.rest, temperature: self.temperature }
    }
}

impl Term for ForwardKl {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::ForwardKl))
            .interval(Interval::NON_NEGATIVE)
            .unit(Unit::Divergence)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        self.asked().resolve(declared, Statistic::ForwardKl, Divergence::Forward)
    }

    fn check(&self) -> Result<(), ArgError> {
        self.asked().check("forward_kl")
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
