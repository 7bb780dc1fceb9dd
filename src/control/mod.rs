//! The built-in controllers: pure state machines. Nothing here is public; programs find them in the registry.

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

/// The progress of a schedule, from 0 to 1, after a number of observations; the first `warmup` do not count.
fn progress(observations: u64, warmup: u64, steps: u64) -> f64 {
    observations.saturating_sub(warmup).min(steps) as f64 / steps as f64
}
