//! A coefficient that never moves.

use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that never moves: what to compare the others with.
    ///
    /// Formula:
    ///
    ///     v ← value
    ///
    /// - `value`: the coefficient
    ///
    /// Errors: a `value` that is not finite.
    ///
    /// Source: the fixed coefficients of verl (`entropy_coeff`, `kl_loss_coef`, `FixedKLController`) and TRL (`beta`,
    /// `entropy_coef`).
    "constant" => Constant, example = "constant(value = 1e-3)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Constant {
    value: f64,
}

impl Controller for Constant {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature { signal: false, interval: Interval::point(self.value), target: None }
    }

    fn check(&self) -> Result<(), ArgError> {
        super::finite("value", self.value)
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.value)
    }

    fn observe(&self, state: &ControllerState, _: Option<f64>) -> ControllerState {
        state.moved_to(self.value)
    }
}
