//! The price of a constraint, moved on a logarithmic scale.

use super::limits::check_positive_room;
use super::side::Side;
use crate::plugin::prelude::*;

crate::controller! {
    /// The price of a constraint: it rises while the signal is on the wrong side of a number and falls on the right one.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone:
    ///
    ///     log v ← clip(log v + step · e, log bounds),   e = at_least - h, or h - at_most
    ///
    /// It is gradient ascent of the Lagrange multiplier's logarithm, so the price is never negative.
    ///
    /// - `signal`: a scalar, such as `token_mean(entropy())`
    /// - `at_least` or `at_most`, exactly one: where the signal should be; an entropy at least, a divergence at most
    /// - `step = 0.01`, positive: how much the logarithm moves per unit of what is missing
    /// - `init = 1e-3`, above 0: from 0 it would never move
    /// - `bounds = 1e-6 .. 10`, the lower end above 0
    /// - `warmup = 0`: how many observations leave the coefficient alone
    ///
    /// Errors: none or both of the two sides, a `step` that is not positive, an `init` or a lower bound of 0, crossed
    /// bounds, `init` outside them.
    ///
    /// Source: SAC's temperature, arXiv 1812.05905, which Adam moves; TorchRL `SACLoss` (its target for discrete actions,
    /// `0.98 · log V`, is out of reach of a language model); rlax `kl_constraint_loss`.
    ///
    /// Aliases: `kl_constraint_loss` (rlax), `alpha_init` (TorchRL).
    "dual_ascent" => DualAscent, example = "dual_ascent(signal = token_mean(entropy()), at_least = 0.3)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DualAscent {
    at_least: Option<f64>,
    at_most: Option<f64>,
    step: f64,
    init: f64,
    bounds: Bounds,
    warmup: u64,
}

impl Default for DualAscent {
    fn default() -> Self {
        let bounds = Bounds::new(1e-6, 10.0);
        Self { at_least: None, at_most: None, step: 0.01, init: 1e-3, bounds, warmup: 0 }
    }
}

impl DualAscent {
    fn side(&self) -> Side {
        Side::of(self.at_least, self.at_most)
    }
}

impl Controller for DualAscent {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature {
            signal: true,
            interval: self.bounds.interval(),
            target: Some(self.side().interval()),
        }
    }

    fn check(&self) -> Result<(), ArgError> {
        self.side().check()?;
        ArgError::positive("step", self.step)?;
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
