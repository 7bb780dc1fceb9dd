//! The divergence from the reference policy over the whole vocabulary, weighed by the policy.

use crate::plugin::prelude::*;

/// The divergence of the policy from the reference over the whole vocabulary, in nats: `KL(π‖ρ)`.
///
/// Formula, with `π = softmax(logits / temperature)` and `ρ = softmax(ref_logits / temperature)`:
///
///     KL(π‖ρ) = Σ_v π[v] (log π[v] - log ρ[v])
///
/// A token that the policy bans adds 0; one that only the reference bans makes it infinite. It is exact where
/// `kl(...)` estimates from the sampled token, and is computed in the same pass over the logits as everything else.
///
/// The batch brings `ref_logits` `[B, T, V]`, of the kind of `logits`, or `ref_hidden` `[B, T, D]` with `ref_lm_head`
/// `[V, D]` (and `ref_lm_head_bias` `[V]`). The reference is a constant for the gradient.
///
/// Result: never negative, in the kind of the computation (f32 for f16 and bf16 logits).
///
/// Gradient: `∂KL/∂z[v] = π[v] (log π[v] - log ρ[v] - KL)`, divided by the temperature.
///
/// Use: as a penalty it seeks modes: the policy gives up what the reference finds unlikely.
///
/// Source: Agarwal et al. 2023, arXiv 2306.13649, as TRL's GKD with `beta = 1`; Liger `LigerFusedLinearJSD` with
/// `jsd_beta = 1`.
#[term(name = "reverse_kl", example = "reverse_kl()")]
struct ReverseKl {}

impl Term for ReverseKl {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::ReverseKl))
            .interval(Interval::NON_NEGATIVE)
            .unit(Unit::Divergence)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clone().into())
    }
}
