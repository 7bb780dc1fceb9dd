//! A coefficient that moves one step up or down with every observation.

use super::limits::check_room;
use crate::plugin::prelude::*;

/// A coefficient that goes one step up while its signal is at or under a target, and one step down above it.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave `c` alone:
///
///     c ← clip(c + step, bounds)   where h <= target
///     c ← clip(c - step, bounds)   where h > target
///     v = c, or with `gate` 0 where h > target
///
/// Source: Skywork-OR1, arXiv 2505.22312, `EntController` (gated; step 1e-4, bounds 0 .. 0.005; compares with `<`); TRL
/// `use_adaptive_entropy` (gated).
#[controller(
    name = "step",
    example = "step(signal = token_mean(entropy()), target = 0.2)",
    aliases = [Alias::new("use_adaptive_entropy", "TRL"), Alias::new("entropy_coef_delta", "TRL")]
)]
struct Stepper {
    /// Where the signal should be. Skywork-OR1 and TRL use 0.2.
    target: f64,
    /// How far the coefficient goes with each observation.
    #[param(default = 0.005, above = 0)]
    step: f64,
    /// Where the coefficient stays.
    #[param(default = 0..1)]
    bounds: Bounds,
    /// The first coefficient, within the bounds.
    #[param(default = 0)]
    init: f64,
    /// How many observations leave the coefficient alone.
    #[param(default = 0)]
    warmup: u64,
    /// Whether the coefficient is 0 while the signal is above the target, and before the first observation, whatever it has
    /// risen to.
    #[param(default = false)]
    gate: bool,
}

impl Controller for Stepper {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("What to steer, such as `token_mean(entropy())`. Skywork-OR1 estimates it by `-token_mean(old_log_prob)`.")
    }

    fn interval(&self) -> Interval {
        let open = self.bounds.interval();
        if self.gate { open.join(Interval::point(0.0)) } else { open }
    }

    fn target(&self) -> Option<Interval> {
        Some(Interval::point(self.target))
    }

    fn check(&self) -> Result<(), ArgError> {
        check_room(self.bounds, self.init)
    }

    /// `memory` holds the coefficient while the gate hides it.
    fn start(&self) -> ControllerState {
        let value = if self.gate { 0.0 } else { self.init };
        ControllerState { memory: vec![self.init], ..ControllerState::starting_at(value) }
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(state.value);
        };
        let below = signal <= self.target;
        let hidden = state.memory.first().copied().unwrap_or(state.value);
        let moved = self.bounds.clip(if below { hidden + self.step } else { hidden - self.step });
        let value = if below || !self.gate { moved } else { 0.0 };
        ControllerState { memory: vec![moved], ..state.moved_to(value) }
    }
}
