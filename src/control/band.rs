//! A coefficient that steers its signal into a band.

use super::limits::{check_ends, check_room};
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that rises while its signal is under a band and falls while it is over.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone:
    ///
    ///     v ← clip(v - step · [min(0, h - lo) + max(0, h - hi) + reg · (v - init)], bounds)
    ///
    /// Inside the band, with `reg = 0`, nothing moves. The new value is in force from the next step on.
    ///
    /// - `signal`: a scalar, such as `token_mean(clamped_entropy(drop = 30%))`
    /// - `target = lo .. hi`, or one number: where the signal should be. AEnt's code defaults to `0.1 .. 0.5`, its
    ///   example uses `0.05 .. 0.23`; the right band depends on the signal
    /// - `step = 1e-3`, positive: how much the coefficient moves per nat outside the band
    /// - `bounds = 1e-5 .. 1e-2`: where the coefficient stays. A lower bound above 0 keeps the term alive
    /// - `init = 1e-3`, within the bounds
    /// - `warmup = 0`: how many observations leave the coefficient alone
    /// - `reg = 0`, with `step · reg` at most 1: pulls the coefficient back to `init`
    ///
    /// Errors: crossed ends of `target` or `bounds`, bounds that leave no room, `init` outside them, a `step` that is
    /// not positive, a `reg` that overshoots.
    ///
    /// Source: AEnt, arXiv 2509.03493; AReaL's recipe `AEnt` (`coeff_lr`, `entropy_low`, `entropy_high`,
    /// `coeff_box_low`, `coeff_box_high`, `warmup_steps`).
    "band" => Band,
    example = "band(signal = token_mean(entropy()), target = 0.05 .. 0.23, bounds = 1e-5 .. 3e-3, init = 2e-4)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Band {
    target: Bounds,
    #[serde(default = "default_step")]
    step: f64,
    #[serde(default = "default_bounds")]
    bounds: Bounds,
    #[serde(default = "default_init")]
    init: f64,
    #[serde(default)]
    warmup: u64,
    #[serde(default)]
    reg: f64,
}

fn default_step() -> f64 {
    1e-3
}

fn default_bounds() -> Bounds {
    Bounds::new(1e-5, 1e-2)
}

fn default_init() -> f64 {
    1e-3
}

impl Controller for Band {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature {
            signal: true,
            interval: self.bounds.interval(),
            target: Some(self.target.interval()),
        }
    }

    fn check(&self) -> Result<(), ArgError> {
        check_ends("target", self.target)?;
        check_room(self.bounds, self.init)?;
        ArgError::positive("step", self.step)?;
        ArgError::non_negative("reg", self.reg)?;
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
