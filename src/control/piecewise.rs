//! A coefficient that goes through given points.

use crate::plugin::prelude::*;

/// A coefficient that goes through given points, on straight lines or in steps.
///
/// Formula, after `n` observations, between the points `(n_0, v_0)` and `(n_1, v_1)` next to `n`:
///
///     v = v_0 + (v_1 - v_0) · (n - n_0) / (n_1 - n_0)     between = "lines"
///     v = v_0                                             between = "steps"
///
/// Before the first point it is the first value, after the last point the last.
///
/// Source: torch's `MultiStepLR` (steps); the schedules asked for in TRL and used by hand elsewhere, for a coefficient.
#[controller(name = "piecewise", example = "piecewise(points = \"0: 1e-3, 100: 5e-4, 500: 0\")")]
struct Piecewise {
    /// Two or more numbers of observations with their values, `"0: 1e-3, 100: 5e-4, 500: 0"`; the numbers are whole and rise.
    points: String,
    /// How the coefficient goes from one point to the next.
    #[param(default = "lines")]
    between: Between,
}

#[choice]
enum Between {
    Lines,
    Steps,
}

impl Piecewise {
    fn points(&self) -> Result<Vec<(u64, f64)>, ArgError> {
        let refused = |message: String| {
            ArgError::new("points", message).help("write `points = \"0: 1e-3, 100: 5e-4, 500: 0\"`")
        };
        let point = |text: &str| {
            let (number, value) = text.split_once(':')?;
            let value = value.trim().parse().ok().filter(|value: &f64| value.is_finite())?;
            Some((number.trim().parse().ok()?, value))
        };
        let mut points: Vec<(u64, f64)> = Vec::new();
        for text in self.points.split(',') {
            let Some(found) = point(text) else {
                return Err(refused(format!(
                    "expected `number: value` in `points`, found `{}`",
                    text.trim()
                )));
            };
            if let Some((last, _)) = points.last()
                && found.0 <= *last
            {
                return Err(refused(format!(
                    "expected `points` with rising numbers, found {last}, {}",
                    found.0
                )));
            }
            points.push(found);
        }
        if points.len() < 2 {
            return Err(refused(format!("expected two or more `points`, found {}", points.len())));
        }
        Ok(points)
    }

    fn value(&self, observations: u64) -> f64 {
        let points = self.points().unwrap_or_default();
        let passed = points.partition_point(|(number, _)| *number <= observations);
        let before = points.get(passed.saturating_sub(1)).copied().unwrap_or_default();
        match (points.get(passed), self.between) {
            (Some((number, value)), Between::Lines) if passed > 0 => {
                let done = (observations - before.0) as f64 / (number - before.0) as f64;
                (1.0 - done) * before.1 + done * value
            }
            _ => before.1,
        }
    }
}

impl Controller for Piecewise {
    fn signature() -> ControllerSignature {
        ControllerSignature::new()
    }

    fn interval(&self) -> Interval {
        let values = self.points().unwrap_or_default().into_iter().map(|(_, value)| Interval::point(value));
        values.reduce(Interval::join).unwrap_or(Interval::ALL)
    }

    fn check(&self) -> Result<(), ArgError> {
        self.points().map(|_| ())
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(self.value(0))
    }

    fn observe(&self, state: &ControllerState, _: Option<f64>) -> ControllerState {
        state.moved_to(self.value(state.observations + 1))
    }
}
