//! Scales of charts: the position of a value, and the round values to mark.

use super::run::Scale;

/// One axis: a range, its scale and its marks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// The value at the axis' start.
    pub(super) low: f64,
    /// The value at the axis' end.
    pub(super) high: f64,
    scale: Scale,
    /// Marked values with their texts.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis over the range of `values`, widened to round ends if `round`.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, scale: Scale, round: bool) -> Self {
        let usable = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        let (low, high) = values
            .into_iter()
            .filter(usable)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self::over([if scale == Scale::Log { 0.1 } else { 0.0 }, 1.0], scale, round);
        }
        match scale {
            Scale::Linear => Self::linear(low, high, round),
            Scale::Log => Self::log(low, high),
        }
    }

    /// The position of a value between the axis' start (0) and end (1); NaN if it has none.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Log => f64::NAN,
        }
    }

    fn linear(mut low: f64, mut high: f64, round: bool) -> Self {
        if round && low > 0.0 && low < 0.4 * high {
            low = 0.0;
        }
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            let room = if high == 0.0 { 1.0 } else { 0.2 * high.abs() };
            (low, high) = (low - room, high + room);
        }
        let step = round_step((high - low) / 5.0);
        if round {
            // If a line only just passes a mark, the axis does not need a whole interval more.
            (low, high) = ((low / step + 0.02).floor() * step, (high / step - 0.02).ceil() * step);
        }
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let largest = low.abs().max(high.abs());
        let ticks = (first..=last).map(|count| {
            let value = count as f64 * step;
            (value, label(value, step, largest))
        });
        Self { low, high, scale: Scale::Linear, ticks: ticks.collect() }
    }

    fn log(low: f64, high: f64) -> Self {
        const FACTORS: [&[f64]; 4] = [&[1.0, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let (first, last) = (low.log10().floor() as i32 - 1, high.log10().ceil() as i32 + 1);
        let marks = |factors: &[f64]| -> Vec<f64> {
            let all = (first..=last).flat_map(|power| factors.iter().map(move |f| f * 10f64.powi(power)));
            let all: Vec<f64> = all.collect();
            // The marks from the last one below the data to the first one above.
            let start = all.iter().rposition(|&mark| mark <= low * 1.000_001).unwrap_or(0);
            let end = all.iter().position(|&mark| mark >= high * 0.999_999).unwrap_or(all.len() - 1);
            all[start..=end.max(start + 1)].to_vec()
        };
        let finest = FACTORS.into_iter().map(marks).find(|marks| marks.len() <= 7);
        let marks = finest.unwrap_or_else(|| marks(&[1.0]));
        let every = marks.len().div_ceil(7);
        let ticks = marks.iter().step_by(every).map(|&mark| (mark, ratio_label(mark, marks[0])));
        Self { low: marks[0], high: marks[marks.len() - 1], scale: Scale::Log, ticks: ticks.collect() }
    }
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * 0.999)
        .unwrap_or(10.0 * power)
}

/// A mark's text, with as many decimals as it takes to tell neighbouring marks apart.
fn label(value: f64, step: f64, largest: f64) -> String {
    if !(1e-3..1e6).contains(&largest) {
        return if value == 0.0 { "0".into() } else { scientific(value) };
    }
    let decimals = (0..9).find(|&decimals| {
        let scaled = step * 10f64.powi(decimals);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    format!("{value:.*}", decimals.unwrap_or(9) as usize).replace('-', "−")
}

/// A mark's text on a logarithmic axis: powers of ten for all marks if the lowest one is small.
fn ratio_label(mark: f64, lowest: f64) -> String {
    if lowest < 0.999e-3 { powers(mark) } else { scientific(mark) }
}

/// `2e-4`, or `0.2` if that is as short.
fn scientific(value: f64) -> String {
    if (1e-3..1e4).contains(&value.abs()) {
        let text = format!("{value:.6}");
        return text.trim_end_matches('0').trim_end_matches('.').replace('-', "−");
    }
    powers(value)
}

/// `2e-4`, with as few digits as the value needs.
fn powers(value: f64) -> String {
    let exponent = (value.abs().log10() + 1e-9).floor() as i32;
    let digits = format!("{:.2}", value / 10f64.powi(exponent));
    format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.')).replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_ends_at_round_values_and_begins_at_zero_when_near() {
        let axis = Axis::over([0.12, 0.83], Scale::Linear, true);
        assert_eq!((axis.low, axis.high), (0.0, 1.0));
        assert_eq!(texts(&axis), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert!((axis.place(0.25) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn steps_keep_their_range() {
        let axis = Axis::over([0.0, 300.0], Scale::Linear, false);
        assert_eq!((axis.low, axis.high), (0.0, 300.0));
        assert_eq!(texts(&axis), ["0", "100", "200", "300"]);
    }

    #[test]
    fn a_log_axis_marks_decades_and_has_no_place_for_zero() {
        let axis = Axis::over([2e-5, 3e-3, 0.0], Scale::Log, true);
        assert_eq!(texts(&axis), ["1e−5", "3e−5", "1e−4", "3e−4", "1e−3", "3e−3"]);
        assert!(axis.place(0.0).is_nan());
        assert!((axis.place((axis.low * axis.high).sqrt()) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn constant_empty_and_tiny_ranges_still_have_an_axis() {
        for values in [vec![], vec![0.0], vec![-3.0, -3.0], vec![2e-4, 2e-4], vec![f64::NAN]] {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::over(values.clone(), scale, true);
                assert!(axis.low < axis.high && !axis.ticks.is_empty(), "{values:?} {axis:?}");
            }
        }
    }
}
