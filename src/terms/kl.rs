//! Estimators of the divergence from a reference policy, from one sampled token.

use crate::plugin::prelude::*;

/// An estimate of the divergence of the policy from a reference, from the sampled token, in nats.
///
/// Formula, with `e = ref_log_prob - log_prob`, clamped to `±input_clamp`:
///
///     k1 = -e      k2 = e² / 2      k3 = exp(e) - e - 1      abs = |e|
///
/// and the result clamped to `±output_clamp`. A straight-through estimator, with a `+` behind its name, has the
/// value of its base and the gradient of `k2`:
///
///     k3+ = k2 - sg[k2] + sg[k3]
///
/// where `sg` stops the gradient.
///
/// Unless given, `input_clamp` is 20 and `output_clamp` 10 for `k3` and `k3+`, as in verl, and both are off for the
/// other estimators; OpenRLHF and AReaL clamp every estimator's result to ±10, TRL none. A large number such as `1e9`
/// takes a clamp off.
///
/// In the reward instead of the loss, between the old policy and the reference: `kl(log_prob = old_log_prob)`,
/// which has no gradient; see `kl_in_reward` of `"std/kl.aent"`. Weighted by the ratio of the policies, as by
/// DeepSeek-V3.2: `ratio_corrected(kl())` of the same file.
///
/// Result: all but `k1` and `k1+` are never negative.
///
/// Gradient with respect to `log_prob`: `k1` 1, `k2` `-e`, `k3` `1 - exp(e)`, `abs` `-sign(e)`; 0 where a clamp
/// binds. As a loss `k1` does not depend on the reference at all: its gradient is 0 on average. On tokens of
/// the current policy `k2` gives the gradient of the reverse KL, `k3` that of the forward KL. A
/// straight-through estimator has the gradient `-e`, also where a clamp of its base binds, as in verl.
///
/// Source: Schulman 2020, "Approximating KL divergence"; verl `kl_penalty` (`kl`, `abs`, `mse`, `low_var_kl`),
/// OpenRLHF `compute_approx_kl`, TRL's `beta` term, NeMo-RL `calculate_kl`, whose factor
/// `exp(log_prob - sg[log_prob])` makes `k3` into `k3+`.
#[term(
    name = "kl",
    example = "kl(estimator = \"k3\")",
    aliases = [
        Alias::new("low_var_kl", "verl"),
        Alias::new("kl_penalty", "verl"),
        Alias::new("mse", "verl").remark("with `estimator = \"k2\"`"),
    ]
)]
struct Kl {
    /// The estimator; a `+` behind its name makes it straight-through.
    #[param(default = "k3")]
    estimator: Estimator,
    /// Bounds `e` on both sides; for `k3` and `k3+` it is 20 unless given, as in verl.
    #[param(above = 0, help = "a large number takes the clamp off")]
    input_clamp: Option<f64>,
    /// Bounds the result on both sides; for `k3` and `k3+` it is 10 unless given, as in verl.
    #[param(above = 0, help = "a large number takes the clamp off")]
    output_clamp: Option<f64>,
}

#[choice]
enum Estimator {
    K1,
    K2,
    K3,
    Abs,
    #[choice("k1+")]
    K1Through,
    #[choice("k3+")]
    K3Through,
    #[choice("abs+")]
    AbsThrough,
}

impl Estimator {
    /// What it has the value of.
    fn base(self) -> Self {
        match self {
            Estimator::K1Through => Estimator::K1,
            Estimator::K3Through => Estimator::K3,
            Estimator::AbsThrough => Estimator::Abs,
            base => base,
        }
    }

    fn of(self, e: &Tensor) -> Tensor {
        match self.base() {
            Estimator::K1 => -e,
            Estimator::K2 => e.square() * 0.5,
            Estimator::Abs => e.abs(),
            // `expm1` keeps the digits that `exp(e) - 1` loses for a small `e`.
            _ => e.expm1() - e,
        }
    }
}

impl Kl {
    fn clamps(&self) -> (Option<f64>, Option<f64>) {
        let guarded = self.estimator.base() == Estimator::K3;
        (self.input_clamp.or(guarded.then_some(20.0)), self.output_clamp.or(guarded.then_some(10.0)))
    }
}

impl Term for Kl {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .input(Input::field("log_prob", Type::TOKEN))
            .input(Input::field("ref_log_prob", Type::TOKEN).detached())
            .unit(Unit::Divergence)
    }

    fn resolve(&self, declared: Signature) -> Signature {
        declared.interval(match (self.estimator.base(), self.clamps().1) {
            (Estimator::K1, Some(limit)) => Interval::new(-limit, limit),
            (Estimator::K1, None) => Interval::ALL,
            (_, limit) => Interval::new(0.0, limit.unwrap_or(f64::INFINITY)),
        })
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let (input_clamp, output_clamp) = self.clamps();
        let free = ctx.input("ref_log_prob") - ctx.input("log_prob");
        let e = match input_clamp {
            Some(limit) => free.clamp(-limit, limit),
            None => free.clone(),
        };
        let estimate = self.estimator.of(&e);
        let estimate = match output_clamp {
            Some(limit) => estimate.clamp(-limit, limit),
            None => estimate,
        };
        if self.estimator == self.estimator.base() {
            return Ok(estimate.into());
        }
        let slope = Estimator::K2.of(&free);
        Ok((&slope - slope.detach() + estimate.detach()).into())
    }
}
