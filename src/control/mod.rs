//! The built-in controllers: pure state machines. Nothing here is public: they come in through the registry.

mod adaptive_kl;
mod anchored;
mod average;
mod band;
mod constant;
mod cosine;
mod doubling;
mod dual_ascent;
mod limits;
mod linear;
mod pid;
mod piecewise;
mod side;
mod step;

use crate::plugin::ArgError;

/// How far a schedule is, from 0 to 1, after a number of observations of which the first `warmup` do not count.
fn progress(observations: u64, warmup: u64, steps: u64) -> f64 {
    observations.saturating_sub(warmup).min(steps) as f64 / steps as f64
}

fn check_schedule(from: f64, to: f64, steps: u64) -> Result<(), ArgError> {
    finite("from", from)?;
    finite("to", to)?;
    if steps == 0 {
        return Err(ArgError::new("steps", "expected at least 1 of `steps`, found 0")
            .help("write `constant(value = ...)` for a coefficient that never moves"));
    }
    Ok(())
}

fn finite(arg: &'static str, value: f64) -> Result<(), ArgError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(ArgError::new(arg, format!("expected a finite `{arg}`, found {value}")))
}
