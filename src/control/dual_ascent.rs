//! The price of a constraint, moved on a logarithmic scale.

use super::limits::check_positive_room;
use super::side::Side;
use crate::plugin::prelude::*;

/// The price of a constraint: it rises while the signal is on the wrong side of a number and falls on the right one.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone:
///
///     log v ← clip(log v + step · e, log bounds),   e = at_least - h, or h - at_most
///
/// It is gradient ascent of the Lagrange multiplier's logarithm, so the price is never negative. Exactly one of `at_least`
/// and `at_most` is given.
///
/// Source: SAC's temperature, arXiv 1812.05905, which Adam moves; TorchRL `SACLoss` (its target for discrete actions,
/// `0.98 · log V`, is out of reach of a language model); rlax `kl_constraint_loss`.
#[controller(
    name = "dual_ascent",
    example = "dual_ascent(signal = token_mean(entropy()), at_least = 0.3)",
    aliases = [Alias::new("kl_constraint_loss", "rlax"), Alias::new("alpha_init", "TorchRL")]
)]
struct DualAscent {
    /// What the signal should at least be, such as an entropy.
    at_least: Option<f64>,
    /// What the signal should at most be, such as a divergence.
    at_most: Option<f64>,
    /// How much the logarithm moves per unit of what is missing.
    #[param(default = 0.01, above = 0)]
    step: f64,
    /// The first price; from 0 it would never move.
    #[param(default = 1e-3)]
    init: f64,
    /// Where the price stays, above 0.
    #[param(default = 1e-6..10)]
    bounds: Bounds,
    /// How many observations leave the price alone.
    #[param(default = 0)]
    warmup: u64,
}

impl DualAscent {
    fn side(&self) -> Side {
        Side::of(self.at_least, self.at_most)
    }
}

impl Controller for DualAscent {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("What is constrained, such as `token_mean(entropy())`.")
    }

    fn interval(&self) -> Interval {
        self.bounds.interval()
    }

    fn target(&self) -> Option<Interval> {
        Some(self.side().interval())
    }

    fn check(&self) -> Result<(), ArgError> {
        self.side().check()?;
        check_positive_room(self.bounds, self.init)
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.init)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(state.value);
        };
        let moved = state.value * (self.step * self.side().missing(signal)).exp();
        state.moved_to(self.bounds.clip(moved))
    }
}
