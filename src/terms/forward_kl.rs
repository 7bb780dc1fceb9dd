//! The divergence from the reference policy over the whole vocabulary, weighed by the reference.

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
/// Result: never negative, in the kind of the computation (f32 for f16 and bf16 logits).
///
/// Gradient: `∂KL/∂z[v] = π[v] - ρ[v]`, divided by the temperature: that of learning from soft labels.
///
/// Use: as a penalty it covers modes: the policy keeps whatever the reference finds likely. With a teacher as the
/// reference it is distillation.
///
/// Source: Hinton et al. 2015, arXiv 1503.02531; Agarwal et al. 2023, arXiv 2306.13649, as TRL's GKD with
/// `beta = 0`; Liger `LigerFusedLinearJSD` with `jsd_beta = 0`.
#[term(name = "forward_kl", example = "forward_kl()")]
struct ForwardKl {}

impl Term for ForwardKl {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::ForwardKl))
            .interval(Interval::NON_NEGATIVE)
            .unit(Unit::Divergence)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
