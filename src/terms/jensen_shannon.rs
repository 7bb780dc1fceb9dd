//! The divergence between the policy and the reference over the whole vocabulary, through their mixture.

use crate::plugin::prelude::*;

crate::term! {
    /// The generalised Jensen-Shannon divergence between the policy and the reference over the whole vocabulary, in nats.
    ///
    /// Formula, with `π = softmax(logits / temperature)`, `ρ = softmax(ref_logits / temperature)` and their mixture
    /// `m = β ρ + (1-β) π`:
    ///
    ///     JS_β = β KL(ρ‖m) + (1-β) KL(π‖m)
    ///
    /// It is finite whatever either bans.
    ///
    /// Inputs: the batch brings `ref_logits` `[B, T, V]`, of the kind of `logits`, or `ref_hidden` `[B, T, D]` with
    /// `ref_lm_head` `[V, D]` (and `ref_lm_head_bias` `[V]`). The reference is a constant for the gradient.
    ///
    /// - `beta = 0.5`, above 0 and below 1: the reference's share of the mixture. Toward 0 `JS_β / β` becomes
    ///   `forward_kl`, toward 1 `JS_β / (1-β)` becomes `reverse_kl`; TRL's and Liger's `beta` of exactly 0 and 1 are
    ///   these two, which are terms of their own here
    ///
    /// Result: token, in `0 .. ln 2`, in the kind of the computation (f32 for f16 and bf16 logits).
    ///
    /// Gradient: `∂JS/∂z[v] = (1-β) π[v] (log (π[v] / m[v]) - KL(π‖m))`, divided by the temperature.
    ///
    /// Errors: `beta` outside its range.
    ///
    /// Source: Agarwal et al. 2023, arXiv 2306.13649; TRL `GKDTrainer.generalized_jsd_loss`, Liger
    /// `LigerFusedLinearJSD`.
    "jensen_shannon" => JensenShannon, example = "jensen_shannon(beta = 0.5)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct JensenShannon {
    beta: f64,
}

impl Default for JensenShannon {
    fn default() -> Self {
        Self { beta: 0.5 }
    }
}

impl Term for JensenShannon {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN)
            .interval(Interval::new(0.0, std::f64::consts::LN_2))
            .unit(Unit::Divergence)
    }

    fn rows(&self) -> Vec<Row> {
        vec![Row::new(TokenSet::All, Moment::JensenShannon(self.beta))]
    }

    fn check(&self) -> Result<(), ArgError> {
        if self.beta > 0.0 && self.beta < 1.0 {
            return Ok(());
        }
        let message = format!("expected `beta` above 0 and below 1, found {}", self.beta);
        Err(ArgError::new("beta", message).help("at the ends it is `forward_kl()` and `reverse_kl()`"))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).shallow_clone().into())
    }
}
