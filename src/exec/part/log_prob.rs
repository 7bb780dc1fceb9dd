//! Whether a field that should hold log-probabilities can be one. Probabilities, and negated log-probabilities, have the
//! same shape, are finite, and train something else.

use super::wrong::{FINITE, first_of, place, refuse_values};
use crate::exec::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// Rounding in f32, of logits in the hundreds, stays far below this.
const SLACK: f64 = 1e-3;

/// The same of 16-bit numbers: with logits near 32 a step of bf16 is 1/8, and two of them are subtracted.
const SLACK_16: f64 = 0.25;

/// How far above 0 rounding may bring a log-probability of that type.
pub(super) fn slack(brought: DType) -> f64 {
    if matches!(brought, DType::F16 | DType::BF16) { SLACK_16 } else { SLACK }
}

/// Refuses values that are not finite, or above 0 by more than the rounding of the kind that the batch `brought`.
pub(super) fn check(
    name: &str,
    tensor: &Tensor,
    brought: DType,
    not_finite: &Tensor,
    counted: &Tensor,
) -> Result<()> {
    let wrong = tensor.gt(slack(brought)).logical_or(not_finite).logical_and(counted);
    let Some(at) = first_of(&wrong)? else { return Ok(()) };
    refuse_values(name, tensor, not_finite.clone(), Some(counted), FINITE)?;
    let among = |rest: f64| counted.where_cond(tensor, &tensor.full_like(rest));
    let least = among(f64::INFINITY).min().f64_at(&[])?;
    let most = among(f64::NEG_INFINITY).max().f64_at(&[])?;
    let reason = match (least >= 0.0, most <= 1.0) {
        (true, true) => "all values lie in 0 .. 1, as probabilities do: bring their `log`",
        (true, false) => "no value is negative, as in negative log-probabilities: bring them negated",
        (false, _) => "probabilities need a `log`, negative log-probabilities another sign",
    };
    Err(Error::Value {
        name: name.to_owned(),
        place: place(&at),
        expected: "a log-probability, which is at most 0".to_owned(),
        found: format!("{} ({reason})", tensor.f64_at(&at)?),
    })
}
