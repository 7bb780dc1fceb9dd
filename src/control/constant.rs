//! A coefficient that never moves.

use crate::plugin::prelude::*;

/// A coefficient that never moves: what to compare the others with.
///
/// Formula:
///
///     v ← value
///
/// Source: the fixed coefficients of verl (`entropy_coeff`, `kl_loss_coef`, `FixedKLController`) and TRL (`beta`,
/// `entropy_coef`).
#[controller(name = "constant", example = "constant(value = 1e-3)")]
struct Constant {
    /// The coefficient.
    value: f64,
}

impl Controller for Constant {
    fn signature() -> ControllerSignature {
        ControllerSignature::new()
    }

    fn interval(&self) -> Interval {
        Interval::point(self.value)
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.value)
    }

    fn observe(&self, state: &ControllerState, _: Option<f64>) -> ControllerState {
        state.moved_to(self.value)
    }
}
