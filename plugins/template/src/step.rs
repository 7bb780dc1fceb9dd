//! A coefficient that goes one step up or down with every observation.

use aent::plugin::prelude::*;

aent::controller! {
    /// A coefficient that goes one step up while its signal is at or under a target, and one step down above it.
    ///
    /// Formula, for the observed signal `h`:
    ///
    ///     v ← clip(v + step, bounds)   where h <= target
    ///     v ← clip(v - step, bounds)   where h > target
    ///
    /// - `signal`: a scalar, such as `token_mean(entropy())`
    /// - `target`: where the signal should be
    /// - `step = 0.005`, positive
    /// - `bounds = 0 .. 1`: where the coefficient stays
    /// - `init = 0`, within the bounds
    ///
    /// Errors: crossed bounds, `init` outside them, a `step` that is not positive.
    ///
    /// Source: TRL's adaptive entropy coefficient; Skywork-OR1, arXiv 2505.22312, which compares with `<`.
    "template::step" => Stepper, example = "template::step(signal = token_mean(entropy()), target = 0.2)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stepper {
    target: f64,
    #[serde(default = "default_step")]
    step: f64,
    #[serde(default = "default_bounds")]
    bounds: Bounds,
    #[serde(default)]
    init: f64,
}

fn default_step() -> f64 {
    0.005
}

fn default_bounds() -> Bounds {
    Bounds::new(0.0, 1.0)
}

impl Controller for Stepper {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature {
            signal: true,
            interval: self.bounds.interval(),
            target: Some(Interval::point(self.target)),
        }
    }

    fn check(&self) -> Result<(), ArgError> {
        ArgError::positive("step", self.step)?;
        let Bounds { lo, hi } = self.bounds;
        if lo > hi {
            return Err(ArgError::new(
                "bounds",
                format!("expected `bounds` from low to high, found {lo} .. {hi}"),
            )
            .help(format!("write `bounds = {hi} .. {lo}`")));
        }
        ArgError::in_range("init", self.init, lo, hi)
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.init)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let up = signal.is_none_or(|signal| signal <= self.target);
        let step = if up { self.step } else { -self.step };
        state.moved_to(self.bounds.clip(state.value + step))
    }
}
