//! The average of a signal over past steps.

use super::limits::check_ends;
use crate::plugin::prelude::*;

/// The average of a signal over the steps before: a baseline, an anchor, a history.
///
/// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone; the first `h` is taken as it is,
/// and the `n`-th observation after the warm-up moves it by
///
///     v ← v + (1 - decay) · (h - v)     with a `decay`
///     v ← v + (h - v) / n               without one: the mean of all
///
/// Source: RAE, the reward baseline of prime-rl (with `decay`); the entropy histories of EPO, arXiv 2509.22576 (without
/// one; EPO keeps one for each turn of an episode), and SIREN, arXiv 2509.25133 (`until = 1`).
#[controller(name = "average", example = "average(signal = token_mean(entropy()), decay = 0.9)")]
struct Average {
    /// How much of the past is kept.
    #[param(
        min = 0,
        below = 1,
        help = "with `decay = 1` nothing would ever be learned; leave it out for the mean of all"
    )]
    decay: Option<f64>,
    /// After so many observations the average stays as it is; `until = 1` is the signal of the first step.
    #[param(min = 1, help = "write `constant(value = ...)` for a value that never moves")]
    until: Option<u64>,
    /// The value before the first observation.
    #[param(default = 0)]
    init: f64,
    /// Where the average stays.
    bounds: Option<Bounds>,
    /// How many observations leave the average alone.
    #[param(default = 0)]
    warmup: u64,
}

impl Controller for Average {
    fn signature() -> ControllerSignature {
        ControllerSignature::new()
            .signal("What to average, such as `batch_mean(rewards)` or `token_mean(entropy())`.")
    }

    fn interval(&self) -> Interval {
        self.bounds.map_or(Interval::ALL, Bounds::interval)
    }

    fn check(&self) -> Result<(), ArgError> {
        let Some(bounds) = self.bounds else { return Ok(()) };
        check_ends("bounds", bounds)?;
        if bounds.interval().contains(self.init) {
            return Ok(());
        }
        let Bounds { lo, hi } = bounds;
        Err(ArgError::new(
            "init",
            format!("expected `init` within `bounds`, {lo} .. {hi}, found {}", self.init),
        )
        .help("widen `bounds`, or start inside them"))
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.init)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let value = state.value;
        let done = state.observations.saturating_sub(self.warmup);
        let waits = state.observations < self.warmup || self.until.is_some_and(|until| done >= until);
        let Some(signal) = signal.filter(|_| !waits) else {
            return state.moved_to(value);
        };
        let share = match self.decay {
            _ if done == 0 => 1.0,
            Some(decay) => 1.0 - decay,
            None => 1.0 / (done + 1) as f64,
        };
        let moved = (1.0 - share) * value + share * signal;
        state.moved_to(self.bounds.map_or(moved, |bounds| bounds.clip(moved)))
    }
}
