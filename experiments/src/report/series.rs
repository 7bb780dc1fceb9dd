//! Draws the chart of a series: for each spec the mean over seeds, its 95% interval, and each seed.

use std::collections::BTreeMap;

use super::chart::Figure;
use super::lines::{Curve, Plot, Points, Target};
use super::load::Folder;
use super::run::{Scale, Series};
use super::statistics::{Interval, smooth};

/// Shorter runs are not smoothed.
const SMOOTHED_STEPS: u64 = 100;
/// Smoothing averages over the number of steps divided by this.
const SMOOTHED_SHARE: u64 = 50;
/// Lines are smoothed if they deviate from their smooth version by more than this share of the chart's range.
const ROUGH: f64 = 0.02;

/// The figure of a series; `None` when no spec measured it.
pub(super) fn figure(series: &Series, folder: &Folder) -> Option<Figure> {
    let measured: Vec<Vec<Points>> = folder
        .trained
        .iter()
        .map(|seeds| {
            let points = seeds.iter().map(|seed| {
                let values = seed.series(&series.key).into_iter();
                values.map(|(step, value)| (step as f64, value)).collect::<Points>()
            });
            points.filter(|points| !points.is_empty()).collect()
        })
        .collect();
    if measured.iter().all(Vec::is_empty) {
        return None;
    }
    let window = window(&measured, folder.run.steps);
    let mut curves = Vec::new();
    for (index, seeds) in measured.iter().enumerate().filter(|(_, seeds)| !seeds.is_empty()) {
        let smoothed: Vec<Points> = match window {
            Some(window) => seeds.iter().map(|seed| smooth(seed, window as f64)).collect(),
            None => seeds.clone(),
        };
        let (points, area) = band(&smoothed);
        let several = seeds.len() > 1;
        curves.push(Curve {
            name: folder.run.specs[index].name.clone(),
            colour: index,
            points,
            area,
            faint: if several || window.is_some() { seeds.clone() } else { Vec::new() },
            dashed: false,
        });
    }
    let targets = targets(series, folder);
    let (y_range, cut) = range(&curves, &targets, series.scale);
    let mut caption = caption(&measured, window, cut);
    if series.scale == Scale::Log {
        caption.push_str(" Values of 0 and below have no place on a logarithmic axis.");
    }
    let plot = Plot {
        title: series.label.clone(),
        caption,
        x_label: "step".into(),
        y_label: series.unit.clone(),
        x_range: Some([0.0, folder.run.steps.max(1) as f64]),
        y_range,
        scale: series.scale,
        curves,
        targets,
    };
    Some(plot.figure())
}

/// The mean and its 95% interval at the steps where every seed has a value; one seed has no interval.
fn band(seeds: &[Points]) -> (Points, Vec<(f64, [f64; 2])>) {
    let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (step, value) in seeds.iter().flatten() {
        at.entry(*step as u64).or_default().push(*value);
    }
    at.retain(|_, values| values.len() == seeds.len());
    let over = |values: &Vec<f64>| Interval::over(values);
    let intervals: Vec<(f64, Interval)> =
        at.iter().filter_map(|(&step, values)| Some((step as f64, over(values)?))).collect();
    let edges = |interval: &Interval| interval.half.map(|half| [interval.mean - half, interval.mean + half]);
    (
        intervals.iter().map(|(step, interval)| (*step, interval.mean)).collect(),
        intervals.iter().filter_map(|(step, interval)| Some((*step, edges(interval)?))).collect(),
    )
}

/// How many steps to smooth over; `None` for a short run, or if the lines are smooth already.
fn window(measured: &[Vec<Points>], steps: u64) -> Option<u64> {
    if steps < SMOOTHED_STEPS {
        return None;
    }
    let window = (steps / SMOOTHED_SHARE) | 1;
    let (mut squares, mut count) = (0.0, 0.0);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for seed in measured.iter().flatten() {
        for (raw, smoothed) in seed.iter().zip(smooth(seed, window as f64)) {
            squares += (raw.1 - smoothed.1).powi(2);
            count += 1.0;
            (low, high) = (low.min(smoothed.1), high.max(smoothed.1));
        }
    }
    let rough: f64 = squares / count;
    (rough.sqrt() > ROUGH * (high - low)).then_some(window)
}

/// The target bands, each shared by the specs that have it.
fn targets(series: &Series, folder: &Folder) -> Vec<Target> {
    let Some(bands) = &series.band else { return Vec::new() };
    let specs = &folder.run.specs;
    let mut targets: Vec<Target> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let Some(&band) = bands.get(&spec.name) else { continue };
        match targets.iter_mut().find(|target| target.band.map(f64::to_bits) == band.map(f64::to_bits)) {
            Some(target) => target.colours.push(index),
            None => targets.push(Target { name: String::new(), colours: vec![index], band }),
        }
    }
    let named = targets.into_iter().map(|target| {
        let [low, high] = target.band;
        let names: Vec<&str> = target.colours.iter().map(|&index| specs[index].name.as_str()).collect();
        let whose =
            if names.len() == specs.len() { String::new() } else { format!(" ({})", names.join(", ")) };
        Target { name: format!("target {low} to {high}{whose}"), ..target }
    });
    named.collect()
}

/// The values that the vertical axis must reach, and whether it leaves out single spikes of a seed. Intervals do not
/// count: with few seeds they are far wider than the measured values.
fn range(curves: &[Curve], targets: &[Target], scale: Scale) -> (Vec<f64>, bool) {
    let usable = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
    let mut raw: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.faint.iter().flatten().map(|point| point.1))
        .filter(usable)
        .collect();
    raw.sort_by(f64::total_cmp);
    let mut shown: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|point| point.1))
        .chain(targets.iter().flat_map(|target| target.band))
        .filter(usable)
        .collect();
    let Some((&lowest, &highest)) = raw.first().zip(raw.last()) else { return (shown, false) };
    let room = |low: f64, high: f64| if scale == Scale::Log { (high / low).ln() } else { high - low };
    let inner = [raw[raw.len() / 100], raw[raw.len() - 1 - raw.len() / 100]];
    shown.extend(inner);
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let cut = room(lowest.min(low), highest.max(high)) > 2.0 * room(low, high);
    if !cut {
        shown.extend([lowest, highest]);
    }
    (shown, cut)
}

/// A caption that explains the lines and areas.
fn caption(measured: &[Vec<Points>], window: Option<u64>, cut: bool) -> String {
    let counts = || measured.iter().map(Vec::len).filter(|&count| count > 0);
    let (fewest, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let seeds = if fewest == most { format!("{most} seeds") } else { format!("{fewest} to {most} seeds") };
    let mut caption = match (most, window) {
        (1, None) => "One seed, as measured.".to_owned(),
        (1, Some(window)) => {
            format!("One seed, smoothed by a centred mean over {window} steps. Faint: as measured.")
        }
        (_, None) => format!(
            "Line: mean over {seeds}. Shaded: its 95% interval (Student’s t over seeds), cut off where it leaves the \
             range of the seeds. Faint: each seed."
        ),
        (_, Some(window)) => format!(
            "Line: mean over {seeds}, each smoothed by a centred mean over {window} steps. Shaded: its 95% interval \
             (Student’s t over the smoothed seeds), cut off where it leaves the range of the seeds. Faint: each seed as \
             measured."
        ),
    };
    let uneven = |seeds: &Vec<Points>| {
        let mut ends = seeds.iter().filter_map(|seed| seed.last().map(|point| point.0 as u64));
        ends.next().is_some_and(|first| ends.any(|end| end != first))
    };
    if measured.iter().any(uneven) {
        caption.push_str(" A mean ends where the first of its seeds ends.");
    }
    if cut {
        caption.push_str(" Single spikes leave the chart; zoom out to see them.");
    }
    caption
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_mean_and_the_area_its_interval_over_seeds() {
        let seeds =
            [vec![(1.0, 1.0), (2.0, 5.0)], vec![(1.0, 2.0), (2.0, 5.0)], vec![(1.0, 3.0), (2.0, 5.0)]];
        let (mean, area) = band(&seeds);
        assert_eq!(mean, [(1.0, 2.0), (2.0, 5.0)]);
        // Sample variance 1, standard error 1/sqrt(3), t(2) = 4.3027.
        let half = 4.3027 / 3f64.sqrt();
        for (found, expected) in area[0].1.into_iter().zip([2.0 - half, 2.0 + half]) {
            assert!((found - expected).abs() < 1e-9, "{area:?}");
        }
        assert_eq!(area[1], (2.0, [5.0, 5.0]));
        assert_eq!(band(&seeds[..1]).1, []);
    }

    #[test]
    fn the_mean_ends_where_a_seed_ends() {
        let (mean, _) = band(&[vec![(1.0, 1.0), (2.0, 9.0)], vec![(1.0, 2.0)]]);
        assert_eq!(mean, [(1.0, 1.5)]);
    }

    #[test]
    fn the_caption_says_what_is_uneven() {
        let whole = vec![vec![(1.0, 1.0), (2.0, 1.0)]; 2];
        assert!(caption(std::slice::from_ref(&whole), None, false).contains("mean over 2 seeds"));
        assert!(!caption(std::slice::from_ref(&whole), None, false).contains("ends"));
        let stopped = vec![vec![(1.0, 1.0), (2.0, 1.0)], vec![(1.0, 1.0)], vec![(1.0, 1.0)]];
        let uneven = caption(&[whole, stopped], Some(7), true);
        for part in ["2 to 3 seeds", "over 7 steps", "where the first of its seeds ends", "spikes"] {
            assert!(uneven.contains(part), "{uneven}");
        }
    }

    #[test]
    fn smooth_lines_stay_as_measured() {
        let straight: Points = (1..=300).map(|step| (f64::from(step), f64::from(step))).collect();
        let jumping: Points = (1..=300).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        assert_eq!(window(&[vec![straight]], 300), None);
        assert_eq!(window(&[vec![jumping.clone()]], 300), Some(7));
        assert_eq!(window(&[vec![jumping]], 99), None);
    }

    #[test]
    fn one_spike_does_not_flatten_the_chart() {
        let mut seed: Points = (1..=300).map(|step| (f64::from(step), 1.0 + f64::from(step % 3))).collect();
        seed[20].1 = 1e6;
        let curve = Curve { points: vec![(1.0, 2.0)], faint: vec![seed], ..Curve::default() };
        let (range, cut) = range(&[curve], &[], Scale::Linear);
        assert!(cut && range.iter().all(|&value| value <= 3.0), "{range:?}");
    }
}
