//! A coefficient that keeps a divergence near a target.

use super::limits::check_positive_room;
use crate::plugin::prelude::*;

/// A coefficient that grows while its signal is over a target and shrinks while it is under, in proportion.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone:
///
///     v ← clip(v · (1 + clip(h / target - 1, -limit .. limit) · samples / horizon), bounds)
///
/// `horizon` has to be above `samples · limit`, so that no step can change the coefficient's sign.
///
/// Source: Ziegler et al., arXiv 1909.08593; verl `AdaptiveKLController` (`target_kl`, `horizon`), OpenRLHF
/// `AdaptiveKLController`.
#[controller(
    name = "adaptive_kl",
    example = "adaptive_kl(signal = token_mean(kl(estimator = \"k1\")), target = 0.1, samples = 64)",
    aliases = [Alias::new("AdaptiveKLController", "verl"), Alias::new("AdaptiveKLController", "OpenRLHF")]
)]
struct AdaptiveKl {
    /// Where the signal should be. verl uses 0.1.
    #[param(above = 0)]
    target: f64,
    /// How many samples a step has, as in the frameworks, where a larger step moves further.
    #[param(above = 0)]
    samples: f64,
    /// How many samples move the coefficient by the whole error.
    #[param(default = 10_000, above = 0)]
    horizon: f64,
    /// How much of an error counts.
    #[param(default = 0.2, above = 0, max = 1)]
    limit: f64,
    /// The first coefficient; from 0 it would never move.
    #[param(default = 1e-3)]
    init: f64,
    /// Where the coefficient stays, above 0. The frameworks have no bounds.
    #[param(default = 1e-6..100)]
    bounds: Bounds,
    /// How many observations leave the coefficient alone.
    #[param(default = 0)]
    warmup: u64,
}

impl Controller for AdaptiveKl {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("A divergence, such as `token_mean(kl(estimator = \"k1\"))`; verl's is `seq_mean_token_mean` of it.")
    }

    fn interval(&self) -> Interval {
        self.bounds.interval()
    }

    fn target(&self) -> Option<Interval> {
        Some(Interval::point(self.target))
    }

    fn check(&self) -> Result<(), ArgError> {
        let least = self.samples * self.limit;
        if self.horizon <= least {
            let message =
                format!("expected a `horizon` above `samples * limit`, {least}, found {}", self.horizon);
            return Err(
                ArgError::new("horizon", message).help("one step could make the coefficient negative")
            );
        }
        check_positive_room(self.bounds, self.init)
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.init)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(state.value);
        };
        let error = Bounds::new(-self.limit, self.limit).clip(signal / self.target - 1.0);
        let moved = state.value * (1.0 + error * self.samples / self.horizon);
        state.moved_to(self.bounds.clip(moved))
    }
}
