//! The report's arithmetic: means with their intervals, smoothing, and thinning of long lines.

use std::fmt;

/// A mean over seeds with half the width of its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The mean over seeds.
    pub mean: f64,
    /// Half the width of the 95% interval of the mean (Student's t); `None` for a single seed.
    pub half: Option<f64>,
    /// The number of seeds.
    pub count: usize,
}

impl Interval {
    /// The mean and interval of one value for each seed; `None` without values.
    pub fn over(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = mean(values);
        let half = (count > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            student(count - 1) * (squares / (count - 1) as f64 / count as f64).sqrt()
        });
        Some(Self { mean, half, count })
    }

    /// The interval in percent, for shares.
    pub fn percent(&self) -> String {
        match self.half {
            Some(half) => format!("{:.0} ± {:.0}%", 100.0 * self.mean, 100.0 * half),
            None => format!("{:.0}%", 100.0 * self.mean),
        }
    }
}

/// `0.823 ± 0.041`: three significant digits of the larger number, and as many decimals for the other.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.mean.abs().max(self.half.unwrap_or(0.0));
        let exponent = if largest > 0.0 { largest.log10().floor() as i32 } else { 0 };
        if (-3..6).contains(&exponent) {
            let decimals = (2 - exponent).max(0) as usize;
            return match self.half {
                Some(half) => write!(f, "{:.decimals$} ± {half:.decimals$}", self.mean),
                None => write!(f, "{:.decimals$}", self.mean),
            };
        }
        let unit = 10f64.powi(exponent);
        match self.half {
            Some(half) => write!(f, "({:.2} ± {:.2})e{exponent}", self.mean / unit, half / unit),
            None => write!(f, "{:.2}e{exponent}", self.mean / unit),
        }
    }
}

/// The arithmetic mean.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean over the last 5% of `steps`, counted back from the last measured step.
pub(super) fn ending(values: &[(u64, f64)], steps: u64) -> Option<f64> {
    let last = values.last()?.0;
    let window = steps.div_ceil(20).max(1);
    let tail: Vec<f64> =
        values.iter().filter(|(step, _)| step + window > last).map(|&(_, value)| value).collect();
    Some(mean(&tail))
}

/// A centred mean over `window` steps; at the ends, over the existing ones.
pub(super) fn smooth(points: &[(f64, f64)], window: f64) -> Vec<(f64, f64)> {
    let reach = (window - 1.0) / 2.0;
    let (mut start, mut end) = (0, 0);
    let mut smoothed = Vec::with_capacity(points.len());
    for &(step, _) in points {
        while end < points.len() && points[end].0 <= step + reach {
            end += 1;
        }
        while points[start].0 < step - reach {
            start += 1;
        }
        let sum: f64 = points[start..end].iter().map(|point| point.1).sum();
        smoothed.push((step, sum / (end - start) as f64));
    }
    smoothed
}

/// At most about `limit` points with every peak: the lowest and the highest point of each stretch.
pub(super) fn thin(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    if points.len() <= limit {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil((limit / 2).max(1));
    let mut kept = Vec::with_capacity(limit + 2);
    for part in points.chunks(stretch) {
        let place = |better: fn(f64, f64) -> bool| {
            (1..part.len())
                .fold(0, |best, other| if better(part[other].1, part[best].1) { other } else { best })
        };
        let (low, high) = (place(|a, b| a < b), place(|a, b| a > b));
        kept.push(part[low.min(high)]);
        if low != high {
            kept.push(part[low.max(high)]);
        }
    }
    if kept.last() != points.last() {
        kept.extend(points.last());
    }
    kept
}

/// The 97.5% quantile of Student's t: exact to four digits up to 30 degrees of freedom, by expansion above.
fn student(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788,
        2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639,
        2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
    ];
    const Z: f64 = 1.959_964;
    TABLE.get(degrees - 1).copied().unwrap_or_else(|| {
        let degrees = degrees as f64;
        let first = (Z.powi(3) + Z) / 4.0;
        let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
        Z + first / degrees + second / degrees.powi(2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "expected {expected}, found {found}");
    }

    #[test]
    fn the_interval_of_three_seeds_is_that_of_student() {
        // Mean 2, sample variance 1, standard error 1/sqrt(3), t(2) = 4.3027.
        let interval = Interval::over(&[1.0, 2.0, 3.0]).unwrap();
        close(interval.mean, 2.0);
        close(interval.half.unwrap(), 4.3027 / 3f64.sqrt());
        assert_eq!(interval.count, 3);
    }

    #[test]
    fn one_seed_has_no_interval_and_no_seed_has_no_mean() {
        assert_eq!(Interval::over(&[0.5]), Some(Interval { mean: 0.5, half: None, count: 1 }));
        assert_eq!(Interval::over(&[]), None);
    }

    #[test]
    fn student_goes_on_smoothly_after_its_table() {
        assert!(student(31) < student(30) && student(30) - student(31) < 0.005);
        // The tabulated quantile for 60 degrees of freedom is 2.0003.
        assert!((student(60) - 2.0003).abs() < 1e-4);
    }

    #[test]
    fn intervals_print_as_many_decimals_as_mean_something() {
        let print = |mean, half| Interval { mean, half, count: 3 }.to_string();
        assert_eq!(print(0.8234, Some(0.0412)), "0.823 ± 0.041");
        assert_eq!(print(12.34, None), "12.3");
        assert_eq!(print(2.13e-4, Some(1.2e-5)), "(2.13 ± 0.12)e-4");
        assert_eq!(print(0.0, None), "0.00");
        assert_eq!(Interval { mean: 0.97, half: Some(0.031), count: 3 }.percent(), "97 ± 3%");
    }

    #[test]
    fn the_end_is_the_mean_of_the_last_twentieth() {
        let values: Vec<(u64, f64)> = (1..=100).map(|step| (step, step as f64)).collect();
        close(ending(&values, 100).unwrap(), 98.0);
        close(ending(&values[..1], 100).unwrap(), 1.0);
        assert_eq!(ending(&[], 100), None);
    }

    #[test]
    fn a_value_measured_now_and_then_ends_with_its_last() {
        close(ending(&[(25, 0.1), (50, 0.2), (75, 0.6)], 100).unwrap(), 0.6);
    }

    #[test]
    fn smoothing_is_a_centred_mean_in_steps() {
        let points: Vec<(f64, f64)> =
            [0.0, 3.0, 6.0, 0.0].iter().enumerate().map(|(step, &value)| (step as f64, value)).collect();
        let smoothed: Vec<f64> = smooth(&points, 3.0).iter().map(|point| point.1).collect();
        for (found, expected) in smoothed.into_iter().zip([1.5, 3.0, 3.0, 3.0]) {
            close(found, expected);
        }
        assert_eq!(smooth(&[(0.0, 1.0), (25.0, 5.0)], 7.0), [(0.0, 1.0), (25.0, 5.0)]);
    }

    #[test]
    fn thinning_keeps_a_single_spike_and_the_end() {
        let points: Vec<(f64, f64)> =
            (0..4000).map(|step| (f64::from(step), if step == 1234 { 9.0 } else { 0.0 })).collect();
        let kept = thin(&points, 600);
        assert!(kept.len() <= 601, "{}", kept.len());
        assert!(kept.contains(&(1234.0, 9.0)));
        assert_eq!(kept.last(), points.last());
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
