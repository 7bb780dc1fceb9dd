//! Estimators of the divergence from a reference policy, from one sampled token.

use crate::plugin::prelude::*;

crate::term! {
    /// An estimate of the divergence of the policy from a reference, from the sampled token, in nats.
    ///
    /// Formula, with `e = ref_log_prob - log_prob`, clamped to `±input_clamp`:
    ///
    ///     k1 = -e      k2 = e² / 2      k3 = exp(e) - e - 1      abs = |e|
    ///
    /// and the result clamped to `±output_clamp`.
    ///
    /// Inputs: `log_prob`, `ref_log_prob`, both token; the reference is a constant for the gradient.
    ///
    /// - `estimator = "k3"`: one of `"k1"`, `"k2"`, `"k3"`, `"abs"`
    /// - `input_clamp`, positive: 20 for `k3`, else off
    /// - `output_clamp`, positive: 10 for `k3`, else off
    ///
    /// The defaults of the clamps are verl's; OpenRLHF and AReaL clamp every estimator's result to ±10, TRL none. A
    /// large number such as `1e9` takes one off.
    ///
    /// Result: token; `k2`, `k3` and `abs` are never negative.
    ///
    /// Gradient with respect to `log_prob`: `k1` 1, `k2` `-e`, `k3` `1 - exp(e)`, `abs` `-sign(e)`; 0 where a clamp
    /// binds. As a loss `k1` does not depend on the reference at all: its gradient is 0 on average. On tokens of the
    /// current policy `k2` gives the gradient of the reverse KL, `k3` that of the forward KL.
    ///
    /// Errors: an unknown estimator; a clamp that is not positive.
    ///
    /// Source: Schulman 2020, "Approximating KL divergence"; verl `kl_penalty` (`kl`, `abs`, `mse`, `low_var_kl`),
    /// OpenRLHF `compute_approx_kl`, TRL's `beta` term, NeMo-RL `calculate_kl`.
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
}

impl Kl {
    fn clamps(&self) -> (Option<f64>, Option<f64>) {
        let guarded = self.estimator == Estimator::K3;
        (self.input_clamp.or(guarded.then_some(20.0)), self.output_clamp.or(guarded.then_some(10.0)))
    }
}

impl Term for Kl {
    fn signature(&self) -> Signature {
        let interval = match (self.estimator, self.clamps().1) {
            (Estimator::K1, Some(limit)) => Interval::new(-limit, limit),
            (Estimator::K1, None) => Interval::ALL,
            (_, limit) => Interval::new(0.0, limit.unwrap_or(f64::INFINITY)),
        };
        Signature::new(Type::TOKEN)
            .input(Input::field("log_prob", Type::TOKEN))
            .input(Input::field("ref_log_prob", Type::TOKEN))
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
        let mut e = ctx.input("ref_log_prob").detach() - ctx.input("log_prob");
        if let Some(limit) = input_clamp {
            e = e.clamp(-limit, limit);
        }
        let estimate = match self.estimator {
            Estimator::K1 => -e,
            Estimator::K2 => e.square() * 0.5,
            // `expm1` keeps the digits that `exp(e) - 1` loses for a small `e`.
            Estimator::K3 => e.expm1() - e,
            Estimator::Abs => e.abs(),
        };
        Ok(match output_clamp {
            Some(limit) => estimate.clamp(-limit, limit),
            None => estimate,
        }
        .into())
    }
}
