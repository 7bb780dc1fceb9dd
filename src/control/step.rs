//! A coefficient that goes one step up or down with every observation.

use super::limits::check_room;
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that goes one step up while its signal is at or under a target, and one step down above it.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave `c` alone:
    ///
    ///     c ← clip(c + step, bounds)   where h <= target
    ///     c ← clip(c - step, bounds)   where h > target
    ///     v = c, or with `gate` 0 where h > target
    ///
    /// - `signal`: a scalar, such as `token_mean(entropy())`. Skywork-OR1 estimates it by `-token_mean(old_log_prob)`
    /// - `target`: where the signal should be. Skywork-OR1 and TRL use 0.2
    /// - `step = 0.005`, positive
    /// - `bounds = 0 .. 1`: where the coefficient stays
    /// - `init = 0`, within the bounds
    /// - `warmup = 0`: how many observations leave the coefficient alone
    /// - `gate = false`: whether the coefficient is 0 while the signal is above the target, and before the first
    ///   observation, whatever it has risen to
    ///
    /// Errors: bounds that are crossed or leave no room, `init` outside them, a `step` that is not positive.
    ///
    /// Source: Skywork-OR1, arXiv 2505.22312, `EntController` (gated; step 1e-4, bounds 0 .. 0.005; compares with `<`); TRL
    /// `use_adaptive_entropy` (gated).
    ///
    /// Aliases: `use_adaptive_entropy`, `entropy_coef_delta` (TRL).
    "step" => Stepper, example = "step(signal = token_mean(entropy()), target = 0.2)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stepper {
    target: f64,
    #[serde(default = "default_step")]
    step: f64,
    #[serde(default = "default_bounds")]
    bounds: Bounds,
    #[serde(default)]
    init: f64,
    #[serde(default)]
    warmup: u64,
    #[serde(default)]
    gate: bool,
}

fn default_step() -> f64 {
    0.005
}

fn default_bounds() -> Bounds {
    Bounds::new(0.0, 1.0)
}

impl Controller for Stepper {
    fn signature(&self) -> ControllerSignature {
        let open = self.bounds.interval();
        let interval = if self.gate { open.join(Interval::point(0.0)) } else { open };
        ControllerSignature { signal: true, interval, target: Some(Interval::point(self.target)) }
    }

    fn check(&self) -> Result<(), ArgError> {
        super::finite("target", self.target)?;
        check_room(self.bounds, self.init)?;
        ArgError::positive("step", self.step)
    }

    /// What a gate hides is remembered.
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
