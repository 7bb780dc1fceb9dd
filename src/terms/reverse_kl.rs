//! The divergence from the reference policy over the whole vocabulary, weighed by the policy.

use crate::plugin::prelude::*;

crate::term! {
    /// The divergence of the policy from the reference over the whole vocabulary, in nats: `KL(π‖ρ)`.
    ///
    /// Formula, with `π = softmax(logits / temperature)` and `ρ = softmax(ref_logits / temperature)`:
    ///
    ///     KL(π‖ρ) = Σ_v π[v] (log π[v] - log ρ[v])
    ///
    /// A token that the policy bans adds 0; one that only the reference bans makes it infinite. It is exact where
    /// `kl(...)` estimates from the sampled token, and is computed in the same pass over the logits as everything else.
    ///
    /// Inputs: the batch brings `ref_logits` `[B, T, V]`, of the kind of `logits`, or `ref_hidden` `[B, T, D]` with
    /// `ref_lm_head` `[V, D]` (and `ref_lm_head_bias` `[V]`). The reference is a constant for the gradient.
    ///
    /// Result: token, never negative, in the kind of the computation (f32 for f16 and bf16 logits).
    ///
    /// Gradient: `∂KL/∂z[v] = π[v] (log π[v] - log ρ[v] - KL)`, divided by the temperature.
    ///
    /// Use: as a penalty it seeks modes: the policy gives up what the reference finds unlikely.
    ///
    /// Source: Agarwal et al. 2023, arXiv 2306.13649, as TRL's GKD with `beta = 1`; Liger `LigerFusedLinearJSD` with
    /// `jsd_beta = 1`.
    "reverse_kl" => ReverseKl, example = "reverse_kl()"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReverseKl {}

impl Term for ReverseKl {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN).interval(Interval::NON_NEGATIVE).unit(Unit::Divergence)
    }

    fn rows(&self) -> Vec<Row> {
        vec![Row::new(TokenSet::All, Moment::ReverseKl)]
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).shallow_clone().into())
    }
}
