//! A coefficient that steers its signal into a band.

use super::limits::{check_ends, check_room};
use crate::plugin::prelude::*;

/// A coefficient that rises while its signal is under a band and falls while it is over.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone:
///
///     v ← clip(v - step · [min(0, h - lo) + max(0, h - hi) + reg · (v - init)], bounds)
///
/// Inside the band, with `reg = 0`, nothing moves. The new value is in force from the next step on. `step · reg` is at most 1,
/// since a stronger pull overshoots `init`.
///
/// Source: AEnt, arXiv 2509.03493; AReaL's recipe `AEnt` (`coeff_lr`, `entropy_low`, `entropy_high`,
/// `coeff_box_low`, `coeff_box_high`, `warmup_steps`).
#[controller(
    name = "band",
    example = "band(signal = token_mean(entropy()), target = 0.05 .. 0.23, bounds = 1e-5 .. 3e-3, init = 2e-4)"
)]
struct Band {
    /// Where the signal should be. AEnt's code defaults to `0.1 .. 0.5`, its example uses `0.05 .. 0.23`; the right band
    /// depends on the signal.
    target: Bounds,
    /// How much the coefficient moves per nat outside the band.
    #[param(default = 1e-3, above = 0)]
    step: f64,
    /// Where the coefficient stays. A lower end above 0 keeps the term alive.
    #[param(default = 1e-5..1e-2)]
    bounds: Bounds,
    /// The first coefficient, within the bounds.
    #[param(default = 1e-3)]
    init: f64,
    /// How many observations leave the coefficient alone.
    #[param(default = 0)]
    warmup: u64,
    /// How strongly the coefficient is pulled back to `init`.
    #[param(default = 0, min = 0)]
    reg: f64,
}

impl Controller for Band {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("What to steer, such as `token_mean(clamped_entropy(drop = 30%))`.")
    }

    fn interval(&self) -> Interval {
        self.bounds.interval()
    }

    fn target(&self) -> Option<Interval> {
        Some(self.target.interval())
    }

    fn check(&self) -> Result<(), ArgError> {
        check_ends("target", self.target)?;
        check_room(self.bounds, self.init)?;
        if self.step * self.reg > 1.0 {
            let message = format!("expected `step * reg` of at most 1, found {}", self.step * self.reg);
            return Err(ArgError::new("reg", message).help("a stronger pull overshoots `init` at every step"));
        }
        Ok(())
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.init)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let value = state.value;
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(value);
        };
        let outside = (signal - self.target.lo).min(0.0) + (signal - self.target.hi).max(0.0);
        let moved = value - self.step * (outside + self.reg * (value - self.init));
        state.moved_to(self.bounds.clip(moved))
    }
}
