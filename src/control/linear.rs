//! A coefficient that moves from one value to another at an even pace.

use super::progress;
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that moves from one value to another at an even pace, and stays there.
    ///
    /// Formula, after `n` observations:
    ///
    ///     v = (1 - s) · from + s · to,    s = clamp((n - warmup) / steps, 0, 1)
    ///
    /// - `from`, `to`: the first and the last value
    /// - `steps`, at least 1: how many observations the way takes
    /// - `warmup = 0`: how many observations leave the coefficient at `from`
    ///
    /// Errors: an end that is not finite, no steps.
    ///
    /// Source: the linear schedule of torch's `LinearLR` and of transformers' `get_linear_schedule_with_warmup`,
    /// for a coefficient.
    "linear" => Linear, example = "linear(from = 1e-2, to = 1e-3, steps = 500)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Linear {
    from: f64,
    to: f64,
    steps: u64,
    #[serde(default)]
    warmup: u64,
}

impl Controller for Linear {
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
        // The two products are exact at both ends, where `from + done · (to - from)` may be off by a rounding.
        state.moved_to((1.0 - done) * self.from + done * self.to)
    }
}
