//! A coefficient that responds to an error, its sum and its change.

use super::limits::check_room;
use crate::plugin::prelude::*;

/// A coefficient that answers what its signal lacks, what it has lacked so far, and how fast that changes.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave everything alone:
///
///     e = target - h
///     S ← clip(S + e, -limit .. limit)
///     v ← clip(init + p · e + i · S + d · (e - e of the observation before), bounds)
///
/// So it rises while the signal is under the target. With negative gains it falls there, as a weight on what lowers an
/// entropy has to. The gains are of one sign and not all 0. EntroPIC's `p` is 1 and its `i` 0.01.
///
/// Source: the textbook rule; EntroPIC, arXiv 2511.15248, with negative gains, bounds `-1 .. 1` and no change term.
#[controller(name = "pid", example = "pid(signal = token_mean(entropy()), target = 0.2, p = 0.1, i = 0.01)")]
struct Pid {
    /// Where the signal should be.
    target: f64,
    /// The gain of the error.
    #[param(default = 0)]
    p: f64,
    /// The gain of the sum of errors.
    #[param(default = 0)]
    i: f64,
    /// The gain of the error's change.
    #[param(default = 0)]
    d: f64,
    /// The coefficient without an error, within the bounds.
    #[param(default = 0)]
    init: f64,
    /// Where the coefficient stays.
    #[param(default = 0..1)]
    bounds: Bounds,
    /// Where the sum stays. Without it `(hi - lo) / |i|` of the bounds: it reaches across them and no further, so that a sum
    /// that grew while the coefficient could not move shrinks soon.
    #[param(above = 0)]
    limit: Option<f64>,
    /// How many observations leave the coefficient alone.
    #[param(default = 0)]
    warmup: u64,
}

impl Pid {
    fn limit(&self) -> f64 {
        let across = (self.bounds.hi - self.bounds.lo) / self.i.abs();
        // Without an integral gain the sum is unused, but it must stay finite to be saved.
        self.limit.unwrap_or(if across.is_finite() { across } else { 0.0 })
    }
}

impl Controller for Pid {
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
        let gains = [self.p, self.i, self.d];
        let (rises, falls) = (gains.iter().any(|gain| *gain > 0.0), gains.iter().any(|gain| *gain < 0.0));
        if rises == falls {
            let message = if rises {
                format!("expected `p`, `i` and `d` of one sign, found {}, {} and {}", self.p, self.i, self.d)
            } else {
                "expected a gain `p`, `i` or `d` that is not 0, found none".to_owned()
            };
            return Err(ArgError::new("", message).help("write `p = 0.1, i = 0.01`"));
        }
        check_room(self.bounds, self.init)
    }

    /// `memory` holds the sum of errors, and after the first observation the last error.
    fn start(&self) -> ControllerState {
        ControllerState { memory: vec![0.0], ..ControllerState::starting_at(self.init) }
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(state.value);
        };
        let error = self.target - signal;
        let sum = state.memory.first().copied().unwrap_or(0.0);
        let before = state.memory.get(1).copied().unwrap_or(error);
        let sum = Bounds::new(-self.limit(), self.limit()).clip(sum + error);
        let moved = self.init + self.p * error + self.i * sum + self.d * (error - before);
        ControllerState { memory: vec![sum, error], ..state.moved_to(self.bounds.clip(moved)) }
    }

    /// Expects the sum of errors, and after the first observation the last error.
    fn validate(&self, state: &ControllerState) -> Result<(), String> {
        state.has_memory(1..=2)
    }
}
