//! A coefficient that doubles and halves.

use super::limits::check_positive_room;
use super::side::Side;
use crate::plugin::prelude::*;

/// A coefficient that doubles while its signal is far on the wrong side of a number, and halves far on the right one.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone, with `d = at_most`:
///
///     v ← clip(v · factor, bounds)   where h > tolerance · d
///     v ← clip(v / factor, bounds)   where h < d / tolerance
///
/// and else it stays. With `d = at_least` it is the other way round. Exactly one of the two is given.
///
/// Source: PPO's adaptive penalty, arXiv 1707.06347; TorchRL `KLPENPPOLoss`; the `zeta` of REPO-R, as proposed for
/// SkyRL.
#[controller(
    name = "doubling",
    example = "doubling(signal = token_mean(kl(estimator = \"k2\")), at_most = 0.01)",
    aliases = [Alias::new("KLPENPPOLoss", "TorchRL")]
)]
struct Doubling {
    /// What the signal should at least be, such as an entropy.
    #[param(above = 0)]
    at_least: Option<f64>,
    /// What the signal should at most be, such as a divergence. TorchRL uses 0.01.
    #[param(above = 0)]
    at_most: Option<f64>,
    /// How far from the number the signal may be, as a factor, before the coefficient moves.
    #[param(
        default = 1.5,
        min = 1,
        help = "the coefficient stays while the signal is within this factor of its target"
    )]
    tolerance: f64,
    /// What the coefficient is multiplied with or divided by.
    #[param(default = 2, above = 1, help = "the coefficient is multiplied by it, or divided")]
    factor: f64,
    /// The first coefficient; from 0 it would never move.
    #[param(default = 1)]
    init: f64,
    /// Where the coefficient stays, above 0. TorchRL has no bounds.
    #[param(default = 1e-6..1e3)]
    bounds: Bounds,
    /// How many observations leave the coefficient alone.
    #[param(default = 0)]
    warmup: u64,
}

impl Doubling {
    fn side(&self) -> Side {
        Side::of(self.at_least, self.at_most)
    }
}

impl Controller for Doubling {
    fn signature() -> ControllerSignature {
        ControllerSignature::new()
            .signal("What to steer: a scalar that is not negative, such as `token_mean(reverse_kl())`.")
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
        let value = state.value;
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(value);
        };
        let target = self.side().target();
        let (over, under) = (signal > target * self.tolerance, signal < target / self.tolerance);
        let (up, down) = if self.at_least.is_some() { (under, over) } else { (over, under) };
        let moved = if up {
            value * self.factor
        } else if down {
            value / self.factor
        } else {
            value
        };
        state.moved_to(self.bounds.clip(moved))
    }
}
