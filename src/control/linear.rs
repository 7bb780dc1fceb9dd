//! A coefficient that moves from one value to another at an even pace.

use super::progress;
use crate::plugin::prelude::*;

/// A coefficient that moves from one value to another at an even pace, and stays there.
///
/// Formula, after `n` observations:
///
///     v = (1 - s) · from + s · to,    s = clamp((n - warmup) / steps, 0, 1)
///
/// Source: the linear schedule of torch's `LinearLR` and of transformers' `get_linear_schedule_with_warmup`,
/// for a coefficient.
#[controller(name = "linear", example = "linear(from = 1e-2, to = 1e-3, steps = 500)")]
struct Linear {
    /// The first value.
    from: f64,
    /// The last value.
    to: f64,
    /// How many observations the way takes.
    #[param(min = 1, help = "write `constant(value = ...)` for a coefficient that never moves")]
    steps: u64,
    /// How many observations leave the coefficient at `from`.
    #[param(default = 0)]
    warmup: u64,
}

impl Controller for Linear {
    fn signature() -> ControllerSignature {
        ControllerSignature::new()
    }

    fn interval(&self) -> Interval {
        Interval::new(self.from, self.to)
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
