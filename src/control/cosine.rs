//! A coefficient that moves from one value to another along half a cosine.

use super::progress;
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that moves from one value to another along half a cosine, and stays there.
    ///
    /// Formula, after `n` observations:
    ///
    ///     v = c · from + (1 - c) · to,    c = (1 + cos(π s)) / 2,    s = clamp((n - warmup) / steps, 0, 1)
    ///
    /// - `from`, `to`: the first and the last value
    /// - `steps`, at least 1: how many observations the way takes
    /// - `warmup = 0`: how many observations leave the coefficient at `from`
    ///
    /// Errors: an end that is not finite, no steps.
    ///
    /// Source: SGDR, arXiv 1608.03983; torch's `CosineAnnealingLR`, for a coefficient.
    "cosine" => Cosine, example = "cosine(from = 1e-2, to = 1e-3, steps = 500)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cosine {
    from: f64,
    to: f64,
    steps: u64,
    #[serde(default)]
    warmup: u64,
}

impl Controller for Cosine {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature { signal: false, interval: Interval::new(self.from, self.to), target: None }
    }

    fn check(&self) -> Result<(), ArgError> {
        super::check_schedule(self.from, self.to, self.steps)
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.from)
    }

    fn observe(&self, state: &ControllerState, _: Option<f64>) -> ControllerState {
        let done = progress(state.observations + 1, self.warmup, self.steps);
        let left = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        state.moved_to(left * self.from + (1.0 - left) * self.to)
    }
}
