//! Markdown, and how times are summed up.

use std::fmt;

/// The lines of a table under a heading.
pub(crate) fn table<const N: usize>(heading: [&str; N], lines: &[[String; N]]) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heading = heading.map(str::to_owned);
    let rule = heading.each_ref().map(|_| "---".to_owned());
    [&heading, &rule].into_iter().chain(lines).map(|cells| row(cells)).collect()
}

/// The time in the middle.
pub(crate) fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Seconds as their median, and from the least to the most.
pub(crate) struct Range<'a>(pub(crate) &'a [f64]);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(0.0, f64::max);
        write!(f, "{:.3} s ({least:.3} to {most:.3})", median(self.0))
    }
}
