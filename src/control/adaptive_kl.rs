//! A coefficient that keeps a divergence near a target.

use super::limits::check_positive_room;
use crate::plugin::prelude::*;

crate::controller! {
    /// A coefficient that grows while its signal is over a target and shrinks while it is under, in proportion.
    ///
    /// Formula, for the observed signal `h`, after `warmup` observations that leave `v` alone:
    ///
    ///     v ← clip(v · (1 + clip(h / target - 1, -limit .. limit) · samples / horizon), bounds)
    ///
    /// - `signal`: a scalar, such as `token_mean(kl(estimator = "k1"))`; verl's is `seq_mean_token_mean` of it
    /// - `target`, positive: where the signal should be. verl 0.1
    /// - `samples`, positive: how many samples a step has, as in the frameworks, where a larger step moves further
    /// - `horizon = 10000`, positive, and above `samples · limit`
    /// - `limit = 0.2`, in `0 .. 1` and above 0: how much of an error counts
    /// - `init = 1e-3`, above 0: from 0 it would never move
    /// - `bounds = 1e-6 .. 100`, the lower end above 0. The frameworks have none
    /// - `warmup = 0`: how many observations leave the coefficient alone
    ///
    /// Errors: a `target`, `samples` or `horizon` that is not positive, a `horizon` so short that the coefficient could
    /// change its sign, an `init` or a lower bound of 0, crossed bounds, `init` outside them.
    ///
    /// Source: Ziegler et al., arXiv 1909.08593; verl `AdaptiveKLController` (`target_kl`, `horizon`), OpenRLHF
    /// `AdaptiveKLController`.
    ///
    /// Aliases: `AdaptiveKLController` (verl, OpenRLHF).
    "adaptive_kl" => AdaptiveKl,
    example = "adaptive_kl(signal = token_mean(kl(estimator = \"k1\")), target = 0.1, samples = 64)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdaptiveKl {
    target: f64,
    samples: f64,
    #[serde(default = "default_horizon")]
    horizon: f64,
    #[serde(default = "default_limit")]
    limit: f64,
    #[serde(default = "default_init")]
    init: f64,
    #[serde(default = "default_bounds")]
    bounds: Bounds,
    #[serde(default)]
    warmup: u64,
}

fn default_horizon() -> f64 {
    1e4
}

fn default_limit() -> f64 {
    0.2
}

fn default_init() -> f64 {
    1e-3
}

fn default_bounds() -> Bounds {
    Bounds::new(1e-6, 100.0)
}

impl Controller for AdaptiveKl {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature {
            signal: true,
            interval: self.bounds.interval(),
            target: Some(Interval::point(self.target)),
        }
    }

    fn check(&self) -> Result<(), ArgError> {
        ArgError::positive("target", self.target)?;
        ArgError::positive("samples", self.samples)?;
        ArgError::positive("horizon", self.horizon)?;
        ArgError::positive("limit", self.limit)?;
        ArgError::in_range("limit", self.limit, 0.0, 1.0)?;
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
