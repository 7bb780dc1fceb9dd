//! Estimators of the divergence from a reference policy, from one sampled token.

use crate::plugin::prelude::*;

crate::term! {
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
    /// Inputs: `log_prob`, `ref_log_prob`, both token; the reference is a constant for the gradient.
    ///
    /// - `estimator = "k3"`: one of `"k1"`, `"k2"`, `"k3"`, `"abs"`, `"k1+"`, `"k3+"`, `"abs+"`
    /// - `input_clamp`, positive: 20 for `k3` and `k3+`, else off
    /// - `output_clamp`, positive: 10 for `k3` and `k3+`, else off
    ///
    /// The defaults of the clamps are verl's; OpenRLHF and AReaL clamp every estimator's result to ±10, TRL none. A
    /// large number such as `1e9` takes one off.
    ///
    /// In the reward instead of the loss, between the old policy and the reference: `kl(log_prob = old_log_prob)`,
    /// which has no gradient; see `kl_in_reward` of `"std/kl.aent"`. Weighted by the ratio of the policies, as by
    /// DeepSeek-V3.2: `ratio_corrected(kl())` of the same file.
    ///
    /// Result: token; all but `k1` and `k1+` are never negative.
    ///
    /// Gradient with respect to `log_prob`: `k1` 1, `k2` `-e`, `k3` `1 - exp(e)`, `abs` `-sign(e)`; 0 where a clamp
    /// binds. As a loss `k1` does not depend on the reference at all: its gradient is 0 on average. On tokens of
    /// the current policy `k2` gives the gradient of the reverse KL, `k3` that of the forward KL. A
    /// straight-through estimator has the gradient `-e`, also where a clamp of its base binds, as in verl.
    ///
    /// Errors: an unknown estimator; a clamp that is not positive.
    ///
    /// Source: Schulman 2020, "Approximating KL divergence"; verl `kl_penalty` (`kl`, `abs`, `mse`, `low_var_kl`),
    /// OpenRLHF `compute_approx_kl`, TRL's `beta` term, NeMo-RL `calculate_kl`, whose factor
    /// `exp(log_prob - sg[log_prob])` makes `k3` into `k3+`.
    ///
    /// Aliases: `low_var_kl`, `kl_penalty` (verl), `mse` (verl, with `estimator = "k2"`).
    "kl" => Kl, example = "kl(estimator = \"k3\")"
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Kl {
    estimator: Estimator,
    input_clamp: Option<f64>,
    output_clamp: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Estimator {
    K1,
    K2,
    #[default]
    K3,
    Abs,
    #[serde(rename = "k1+")]
    K1Through,
    #[serde(rename = "k3+")]
    K3Through,
    #[serde(rename = "abs+")]
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
    fn signature(&self) -> Signature {
        let interval = match (self.estimator.base(), self.clamps().1) {
            (Estimator::K1, Some(limit)) => Interval::new(-limit, limit),
            (Estimator::K1, None) => Interval::ALL,
            (_, limit) => Interval::new(0.0, limit.unwrap_or(f64::INFINITY)),
        };
        Signature::new(Type::TOKEN)
            .input(Input::field("log_prob", Type::TOKEN))
            .input(Input::field("ref_log_prob", Type::TOKEN).detached())
            .interval(interval)
            .unit(Unit::Divergence)
    }

    fn check(&self) -> Result<(), ArgError> {
        for (name, value) in [("input_clamp", self.input_clamp), ("output_clamp", self.output_clamp)] {
            if let Some(value) = value {
                ArgError::positive(name, value)
                    .map_err(|error| error.help("a large number takes the clamp off"))?;
            }
        }
        Ok(())
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let (input_clamp, output_clamp) = self.clamps();
        let free = ctx.input("ref_log_prob") - ctx.input("log_prob");
        let e = match input_clamp {
            Some(limit) => free.clamp(-limit, limit),
            None => free.shallow_clone(),
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
