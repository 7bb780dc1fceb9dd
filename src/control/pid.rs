//! A coefficient that answers an error, its sum and its change.

use super::limits::check_room;
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that answers what its signal lacks, what it has lacked so far, and how fast that changes.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave everything alone:
    ///
    ///     e = target - h
    ///     S ← clip(S + e, -limit .. limit)
    ///     v ← clip(init + p · e + i · S + d · (e - e of the observation before), bounds)
    ///
    /// So it rises while the signal is under the target. With negative gains it falls there, as a weight on what lowers an
    /// entropy has to.
    ///
    /// - `signal`: a scalar, such as `token_mean(entropy())`
    /// - `target`: where the signal should be
    /// - `p = 0`, `i = 0`, `d = 0`: the gains, not all 0, and of one sign. EntroPIC's p is 1 and i 0.01
    /// - `init = 0`, within the bounds: the coefficient without an error
    /// - `bounds = 0 .. 1`: where the coefficient stays
    /// - `limit`, positive: where the sum stays. Without it `(hi - lo) / |i|` of the bounds, which reaches across them and
    ///   no further, so that what piled up while the coefficient could not move is soon worked off
    /// - `warmup = 0`: how many observations leave the coefficient alone
    ///
    /// Errors: gains that are all 0 or of different signs, bounds that are crossed or leave no room, `init` outside them, a
    /// `limit` that is not positive.
    ///
    /// Source: the textbook rule; EntroPIC, arXiv 2511.15248, with negative gains, bounds `-1 .. 1` and no change term.
    "pid" => Pid, example = "pid(signal = token_mean(entropy()), target = 0.2, p = 0.1, i = 0.01)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pid {
    target: f64,
    #[serde(default)]
    p: f64,
    #[serde(default)]
    i: f64,
    #[serde(default)]
    d: f64,
    #[serde(default)]
    init: f64,
    #[serde(default = "default_bounds")]
    bounds: Bounds,
    #[serde(default)]
    limit: Option<f64>,
    #[serde(default)]
    warmup: u64,
}

fn default_bounds() -> Bounds {
    Bounds::new(0.0, 1.0)
}

impl Pid {
    fn limit(&self) -> f64 {
        let across = (self.bounds.hi - self.bounds.lo) / self.i.abs();
        // Without an integral gain the sum is of no use, but it must stay a number that can be saved.
        self.limit.unwrap_or(if across.is_finite() { across } else { 0.0 })
    }
}

impl Controller for Pid {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature {
            signal: true,
            interval: self.bounds.interval(),
            target: Some(Interval::point(self.target)),
        }
    }

    fn check(&self) -> Result<(), ArgError> {
        super::finite("target", self.target)?;
        for (name, gain) in [("p", self.p), ("i", self.i), ("d", self.d)] {
            super::finite(name, gain)?;
        }
        let gains = [self.p, self.i, self.d];
        let (rises, falls) = (gains.iter().any(|gain| *gain > 0.0), gains.iter().any(|gain| *gain < 0.0));
        if rises == falls {
            let message = if rises {
                format!("expected `p`, `i` and `d` of one sign, found {}, {} and {}", self.p, self.i, self.d)
            } else {
                "expected a gain `p`, `i` or `d` that is not 0, found none".to_owned()
            };
            return Err(ArgError::new("", message).help("write `p = 0.1, i = 0.01`"));
        }
        self.limit.map_or(Ok(()), |limit| ArgError::positive("limit", limit))?;
        check_room(self.bounds, self.init)
    }

    /// The sum, and the error of the observation before.
    fn start(&self) -> ControllerState {
        ControllerState { memory: vec![0.0], ..ControllerState::starting_at(self.init) }
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let Some(signal) = state.after(self.warmup, signal) else {
            return state.moved_to(state.value);
        };
        let error = self.target - signal;
        let sum = state.memory.first().copied().unwrap_or(0.0);
        let before = state.memory.get(1).copied().unwrap_or(error);
        let sum = Bounds::new(-self.limit(), self.limit()).clip(sum + error);
        let moved = self.init + self.p * error + self.i * sum + self.d * (error - before);
        ControllerState { memory: vec![sum, error], ..state.moved_to(self.bounds.clip(moved)) }
    }

    /// The sum of errors, and from the first one on the last error.
    fn validate(&self, state: &ControllerState) -> Result<(), String> {
        state.has_memory(1..=2)
    }
}
