//! A coefficient that doubles and halves.

use super::limits::check_positive_room;
use super::side::Side;
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that doubles while its signal is far on the wrong side of a number, and halves far on the right one.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone, with `d = at_most`:
    ///
    ///     v ← clip(v · factor, bounds)   where h > tolerance · d
    ///     v ← clip(v / factor, bounds)   where h < d / tolerance
    ///
    /// and else it stays. With `d = at_least` it is the other way round.
    ///
    /// - `signal`: a scalar that is not negative, such as `token_mean(reverse_kl())`
    /// - `at_least` or `at_most`, exactly one, positive: where the signal should be; an entropy at least, a divergence at
    ///   most. TorchRL 0.01
    /// - `tolerance = 1.5`, at least 1
    /// - `factor = 2`, above 1
    /// - `init = 1`, above 0: from 0 it would never move
    /// - `bounds = 1e-6 .. 1e3`, the lower end above 0. TorchRL has none
    /// - `warmup = 0`: how many observations leave the coefficient alone
    ///
    /// Errors: none or both of the two sides, or one that is not positive; a `tolerance` below 1, a `factor` that is not
    /// above 1, an `init` or a lower bound of 0, crossed bounds, `init` outside them.
    ///
    /// Source: PPO's adaptive penalty, arXiv 1707.06347; TorchRL `KLPENPPOLoss`; the `zeta` of REPO-R, as proposed for
    /// SkyRL.
    ///
    /// Aliases: `KLPENPPOLoss` (TorchRL).
    "doubling" => Doubling, example = "doubling(signal = token_mean(kl(estimator = \"k2\")), at_most = 0.01)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Doubling {
    at_least: Option<f64>,
    at_most: Option<f64>,
    tolerance: f64,
    factor: f64,
    init: f64,
    bounds: Bounds,
    warmup: u64,
}

impl Default for Doubling {
    fn default() -> Self {
        let bounds = Bounds::new(1e-6, 1e3);
        Self { at_least: None, at_most: None, tolerance: 1.5, factor: 2.0, init: 1.0, bounds, warmup: 0 }
    }
}

impl Doubling {
    fn side(&self) -> Side {
        Side::of(self.at_least, self.at_most)
    }
}

impl Controller for Doubling {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature {
            signal: true,
            interval: self.bounds.interval(),
            target: Some(self.side().interval()),
        }
    }

    fn check(&self) -> Result<(), ArgError> {
        self.side().check()?;
        let name = if self.at_least.is_some() { "at_least" } else { "at_most" };
        ArgError::positive(name, self.side().target())?;
        if !(self.tolerance >= 1.0 && self.tolerance.is_finite()) {
            let message = format!("expected a `tolerance` of at least 1, found {}", self.tolerance);
            return Err(ArgError::new("tolerance", message)
                .help("the coefficient stays while the signal is within this factor of its target"));
        }
        if !(self.factor > 1.0 && self.factor.is_finite()) {
            return Err(ArgError::new(
                "factor",
                format!("expected a `factor` above 1, found {}", self.factor),
            )
            .help("the coefficient is multiplied by it, or divided"));
        }
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
