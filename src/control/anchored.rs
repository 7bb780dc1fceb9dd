//! A coefficient that steers its signal to a share of what it was at the start.

use super::limits::check_room;
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that rises while its signal is under a share of its first value, and falls while it is over.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave everything alone. The mean of the next
    /// `anchor` observations is `h0`, and from then on
    ///
    ///     v ← clip(v + step · (share · h0 - h), bounds)
    ///
    /// - `signal`: a scalar, such as `token_mean(entropy())`
    /// - `share`, positive: how much of the first value should be left. AER is best near 0.4, SIREN takes 1
    /// - `step = 1e-3`, positive
    /// - `bounds = 0 .. 1`: where the coefficient stays
    /// - `init = 0`, within the bounds
    /// - `anchor = 1`, at least 1: how many observations are the first value
    /// - `warmup = 0`: how many observations come before
    ///
    /// Errors: a `share` or `step` that is not positive, an `anchor` of 0, bounds that are crossed or leave no room, `init`
    /// outside them.
    ///
    /// Source: the target of AER, arXiv 2510.10959, whose exact rule is not public; SIREN, arXiv 2509.25133, whose
    /// adaptive baseline is `share = 1`.
    "anchored" => Anchored, example = "anchored(signal = token_mean(entropy()), share = 0.4)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Anchored {
    share: f64,
    #[serde(default = "default_step")]
    step: f64,
    #[serde(default = "default_bounds")]
    bounds: Bounds,
    #[serde(default)]
    init: f64,
    #[serde(default = "default_anchor")]
    anchor: u64,
    #[serde(default)]
    warmup: u64,
}

fn default_step() -> f64 {
    1e-3
}

fn default_bounds() -> Bounds {
    Bounds::new(0.0, 1.0)
}

fn default_anchor() -> u64 {
    1
}

impl Controller for Anchored {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature { signal: true, interval: self.bounds.interval(), target: None }
    }

    fn check(&self) -> Result<(), ArgError> {
        ArgError::positive("share", self.share)?;
        ArgError::positive("step", self.step)?;
        if self.anchor == 0 {
            return Err(ArgError::new("anchor", "expected at least 1 of `anchor`, found 0")
                .help("the mean of so many observations is what the signal is measured by"));
        }
        check_room(self.bounds, self.init)
    }

    /// The first value, as far as it has been seen.
    fn start(&self) -> ControllerState {
        ControllerState { memory: vec![0.0], ..ControllerState::starting_at(self.init) }
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(state.value);
        };
        let first = state.memory.first().copied().unwrap_or(0.0);
        if state.observations - self.warmup < self.anchor {
            let first = first + signal / self.anchor as f64;
            return ControllerState { memory: vec![first], ..state.moved_to(state.value) };
        }
        let moved = state.value + self.step * (self.share * first - signal);
        state.moved_to(self.bounds.clip(moved))
    }
}
