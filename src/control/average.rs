//! What a signal was on average in the steps before.

use super::limits::check_ends;
use crate::plugin::prelude::*;

crate::controller! {
    /// The average of a signal over the steps before: a baseline, an anchor, a history.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone; the first `h` is taken as it is,
    /// and the `n`-th observation after the warm-up moves it by
    ///
    ///     v ← v + (1 - decay) · (h - v)     with a `decay`
    ///     v ← v + (h - v) / n               without one: the mean of all
    ///
    /// - `signal`: a scalar, such as `batch_mean(rewards)` or `token_mean(entropy())`
    /// - `decay`, at least 0 and below 1: how much of the past is kept
    /// - `until`, at least 1: after so many observations it stays as it is. `until = 1` is the signal of the first step
    /// - `init = 0`: its value until something was observed
    /// - `bounds`: where it stays; none unless given
    /// - `warmup = 0`: how many observations leave it alone
    ///
    /// Errors: a `decay` outside of its range, an `until` of 0, crossed bounds, `init` outside them.
    ///
    /// Source: RAE, the reward baseline of prime-rl (with `decay`); the entropy histories of EPO, arXiv 2509.22576 (without
    /// one; EPO keeps one for each turn of an episode), and SIREN, arXiv 2509.25133 (`until = 1`).
    "average" => Average, example = "average(signal = token_mean(entropy()), decay = 0.9)"
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Average {
    decay: Option<f64>,
    until: Option<u64>,
    init: f64,
    bounds: Option<Bounds>,
    warmup: u64,
}

impl Controller for Average {
    fn signature(&self) -> ControllerSignature {
        let interval = self.bounds.map_or(Interval::ALL, Bounds::interval);
        ControllerSignature { signal: true, interval, target: None }
    }

    fn check(&self) -> Result<(), ArgError> {
        super::finite("init", self.init)?;
        if let Some(decay) = self.decay
            && !(0.0..1.0).contains(&decay)
        {
            return Err(ArgError::new(
                "decay",
                format!("expected `decay` of at least 0 and below 1, found {decay}"),
            )
            .help("with `decay = 1` nothing would ever be learned; leave it out for the mean of all"));
        }
        if self.until == Some(0) {
            return Err(ArgError::new("until", "expected at least 1 of `until`, found 0")
                .help("write `constant(value = ...)` for a value that never moves"));
        }
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
