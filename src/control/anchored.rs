//! A coefficient that steers its signal to a share of its initial value.

use super::limits::check_room;
use crate::plugin::prelude::*;

/// A coefficient that rises while its signal is under a share of its first value, and falls while it is over.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave everything alone. The mean of the next
/// `anchor` observations is `h0`, and from then on
///
///     v ← clip(v + step · (share · h0 - h), bounds)
///
/// Source: the target of AER, arXiv 2510.10959, whose exact rule is not public; SIREN, arXiv 2509.25133, whose
/// adaptive baseline is `share = 1`.
#[controller(name = "anchored", example = "anchored(signal = token_mean(entropy()), share = 0.4)")]
struct Anchored {
    /// How much of the first value should be left. AER is best near 0.4, SIREN uses 1.
    #[param(above = 0)]
    share: f64,
    /// How much the coefficient moves per unit of what is missing.
    #[param(default = 1e-3, above = 0)]
    step: f64,
    /// Where the coefficient stays.
    #[param(default = 0..1)]
    bounds: Bounds,
    /// The first coefficient, within the bounds.
    #[param(default = 0)]
    init: f64,
    /// How many observations are averaged to the first value.
    #[param(
        default = 1,
        min = 1,
        help = "the mean of so many observations is what the signal is measured by"
    )]
    anchor: u64,
    /// How many observations come before.
    #[param(default = 0)]
    warmup: u64,
}

impl Controller for Anchored {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("What to steer, such as `token_mean(entropy())`.")
    }

    fn interval(&self) -> Interval {
        self.bounds.interval()
    }

    fn check(&self) -> Result<(), ArgError> {
        check_room(self.bounds, self.init)
    }

    /// `memory` accumulates the first value `h0`.
    fn start(&self) -> ControllerState {
        ControllerState { memory: vec![0.0], ..ControllerState::starting_at(self.init) }
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(state.value);
        };
        let first = state.memory.first().copied().unwrap_or(0.0);
        if state.observations - self.warmup < self.anchor {
            let first = first + signal / self.anchor as f64;
            return ControllerState { memory: vec![first], ..state.moved_to(state.value) };
        }
        let moved = state.value + self.step * (self.share * first - signal);
        state.moved_to(self.bounds.clip(moved))
    }
}
