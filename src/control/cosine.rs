//! A coefficient that moves from one value to another along half a cosine.

use super::progress;
use crate::plugin::prelude::*;

/// A coefficient that moves from one value to another along half a cosine, and stays there.
///
/// Formula, after `n` observations:
///
///     v = c · from + (1 - c) · to,    c = (1 + cos(π s)) / 2,    s = clamp((n - warmup) / steps, 0, 1)
///
/// Source: SGDR, arXiv 1608.03983; torch's `CosineAnnealingLR`, for a coefficient.
#[controller(name = "cosine", example = "cosine(from = 1e-2, to = 1e-3, steps = 500)")]
struct Cosine {
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

impl Controller for Cosine {
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
        let left = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        state.moved_to(left * self.from + (1.0 - left) * self.to)
    }
}
