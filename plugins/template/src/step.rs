//! A coefficient that goes one step up or down with every observation.

use aent::plugin::prelude::*;

/// A coefficient that goes one step up while its signal is at or under a target, and one step down above it.
///
/// Formula, for the observed signal `h`:
///
///     v ← clip(v + step, bounds)   where h <= target
///     v ← clip(v - step, bounds)   where h > target
///
/// Source: TRL's adaptive entropy coefficient; Skywork-OR1, arXiv 2505.22312, which compares with `<`.
#[controller(
    name = "template::step",
    example = "template::step(signal = token_mean(entropy()), target = 0.2)"
)]
struct Stepper {
    /// Where the signal should be.
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
}

impl Controller for Stepper {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("What to steer, such as `token_mean(entropy())`.")
    }

    fn interval(&self) -> Interval {
        self.bounds.interval()
    }

    fn target(&self) -> Option<Interval> {
        Some(Interval::point(self.target))
    }

    fn check(&self) -> Result<(), ArgError> {
        ArgError::in_range("init", self.init, self.bounds.lo, self.bounds.hi)
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.init)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let up = signal.is_none_or(|signal| signal <= self.target);
        let step = if up { self.step } else { -self.step };
        state.moved_to(self.bounds.clip(state.value + step))
    }
}
