//! The side of a threshold on which a signal should be: `at_least = 0.3` or `at_most = 0.01`.

use crate::plugin::prelude::{ArgError, Interval};

/// A threshold for a signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    at_least: Option<f64>,
    at_most: Option<f64>,
}

impl Side {
    pub(super) fn of(at_least: Option<f64>, at_most: Option<f64>) -> Self {
        Self { at_least, at_most }
    }

    /// Requires exactly one of the two.
    pub(super) fn check(self) -> Result<(), ArgError> {
        match (self.at_least, self.at_most) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (found, _) => {
                let found = if found.is_some() { "both" } else { "none" };
                let message = format!("expected one of `at_least` and `at_most`, found {found}");
                Err(ArgError::new(if found == "both" { "at_most" } else { "" }, message)
                    .help("write `at_least = 0.3` for an entropy, `at_most = 0.01` for a divergence"))
            }
        }
    }

    /// The threshold.
    pub(super) fn target(self) -> f64 {
        self.at_least.or(self.at_most).unwrap_or(0.0)
    }

    /// The threshold as an interval, to compare with the range of the signal.
    pub(super) fn interval(self) -> Interval {
        Interval::point(self.target())
    }

    /// How far the signal is on the wrong side; negative on the right side.
    pub(super) fn missing(self, signal: f64) -> f64 {
        let above = signal - self.target();
        if self.at_least.is_some() { -above } else { above }
    }
}
