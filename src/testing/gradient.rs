//! Gradients against finite differences, in f64.

use super::{Case, Outcome};
use crate::Session;
use tch::Kind;

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;
/// Slopes left and right of a point that differ by more than this mark a kink.
const KINK: f64 = 1e-3;

/// Compares the gradient of the loss with central differences, one logit and one value at a time.
///
/// Coordinates at a kink, such as the border of a clip range, have no derivative and are left out. Masked coordinates
/// must have a gradient of exactly zero.
///
/// # Errors
/// What differs, in words.
pub fn gradient_matches_differences(session: &Session, case: &Case) -> Result<(), String> {
    let at = Outcome::of(session, case, Kind::Double).map_err(|error| error.to_string())?;
    let loss = |case: &Case| Outcome::loss_of(session, case, Kind::Double).map_err(|error| error.to_string());
    for (index, &gradient) in at.logits_gradient.iter().enumerate() {
        let counts = case.mask[index / case.vocabulary];
        let moved = |by: f64| {
            let mut case = case.clone();
            case.logits[index] += by;
            case
        };
        judge("logits", index, gradient, counts, at.loss, || {
            Ok((loss(&moved(STEP))?, loss(&moved(-STEP))?))
        })?;
    }
    for (index, &gradient) in at.values_gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut values = case.token("values").to_vec();
            values[index] += by;
            case.clone().with_token("values", values)
        };
        let counts = case.mask[index];
        judge("values", index, gradient, counts, at.loss, || {
            Ok((loss(&moved(STEP))?, loss(&moved(-STEP))?))
        })?;
    }
    Ok(())
}

fn judge(
    field: &str,
    index: usize,
    gradient: f64,
    counts: bool,
    loss: f64,
    around: impl FnOnce() -> Result<(f64, f64), String>,
) -> Result<(), String> {
    if !counts {
        let zero = gradient == 0.0;
        return if zero {
            Ok(())
        } else {
            Err(format!("`{field}` {index} is masked out and has gradient {gradient}"))
        };
    }
    let (above, below) = around()?;
    let (right, left) = ((above - loss) / STEP, (loss - below) / STEP);
    let slope = (above - below) / (2.0 * STEP);
    let scale = slope.abs().max(1.0);
    let near = (gradient - slope).abs() <= TOLERANCE * scale;
    if near || (right - left).abs() > KINK * scale {
        return Ok(());
    }
    Err(format!("`{field}` {index}: expected the gradient {slope} of finite differences, found {gradient}"))
}
