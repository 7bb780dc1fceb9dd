//! Compares runs of the same losses on different tasks: in each run, every spec with the first.

use super::load::{Folder, Trained};
use super::run::{Bars, Group, Table};
use super::statistics::{Interval, ending, mean};
use super::summary::{SeriesSummary, Summary};

/// A run with the scores of its specs.
pub(super) struct Compared {
    /// The run folder.
    pub(super) folder: Folder,
    /// Its figures.
    pub(super) summary: Summary,
    /// One entry for each spec, in the run's order.
    pub(super) specs: Vec<Scores>,
}

/// A spec's scores: figures of the run's first series.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scores {
    /// The score at the end.
    pub(super) end: Option<Interval>,
    /// Its difference to the first spec's, paired by seed.
    pub(super) end_gain: Option<Interval>,
    /// The mean score over all steps, which is larger the sooner a spec learns.
    pub(super) mean: Option<Interval>,
    /// Its difference to the first spec's.
    pub(super) mean_gain: Option<Interval>,
}

/// A number computed from the steps and values of one seed.
type Figure<'a> = &'a dyn Fn(&[(u64, f64)]) -> f64;

impl Compared {
    /// Compares the specs of a run.
    pub(super) fn of(folder: Folder) -> Self {
        let steps = folder.run.steps;
        let figures = |spec: &[Trained], figure: Figure<'_>| -> Vec<(u64, f64)> {
            let key = folder.run.series.first().map_or("", |series| &series.key);
            let seeds = spec.iter().map(|seed| (seed.seed, seed.series(key)));
            seeds
                .filter(|(_, values)| !values.is_empty())
                .map(|(seed, values)| (seed, figure(&values)))
                .collect()
        };
        let over = |figure: Figure<'_>| -> Vec<(Option<Interval>, Option<Interval>)> {
            let all: Vec<Vec<(u64, f64)>> = folder.trained.iter().map(|spec| figures(spec, figure)).collect();
            let each = all.iter().enumerate().map(|(index, own)| {
                let values: Vec<f64> = own.iter().map(|(_, value)| *value).collect();
                let first =
                    |seed: u64| all[0].iter().find(|(other, _)| *other == seed).map(|(_, value)| *value);
                let gains: Vec<f64> =
                    own.iter().filter_map(|(seed, value)| Some(value - first(*seed)?)).collect();
                (Interval::over(&values), Interval::over(&gains).filter(|_| index > 0))
            });
            each.collect()
        };
        let ends = over(&|values| ending(values, steps).unwrap_or(f64::NAN));
        let means = over(&|values| mean(&values.iter().map(|(_, value)| *value).collect::<Vec<_>>()));
        let specs = ends.into_iter().zip(means).map(|((end, end_gain), (mean, mean_gain))| Scores {
            end,
            end_gain,
            mean,
            mean_gain,
        });
        Self { specs: specs.collect(), summary: Summary::of(&folder), folder }
    }

    /// The key of the score in the metrics.
    pub(super) fn score(&self) -> &str {
        self.folder.run.series.first().map_or("", |series| &series.key)
    }

    /// The name of the spec that the others are compared with.
    pub(super) fn first(&self) -> &str {
        self.folder.run.specs.first().map_or("", |spec| &spec.name)
    }

    /// All figures of the run's specs, one row each.
    pub(super) fn table(&self) -> Table {
        let (score, first) = (self.score(), self.first());
        let mut head = vec![
            "spec".to_owned(),
            format!("{score}, end"),
            format!("difference to {first}"),
            format!("{score}, mean over the steps"),
            format!("difference to {first}"),
            "entropy, end".to_owned(),
        ];
        let band = self.folder.run.series.iter().find_map(|series| series.band.as_ref()?.values().next());
        if let Some([low, high]) = band {
            head.push(format!("steps with clamped entropy in {low} to {high}"));
        }
        let rows = self.summary.specs.iter().zip(&self.specs).map(|(spec, scores)| {
            let figure = |key: &str| spec.series.iter().find(|series| series.key == key);
            let in_band: Option<Interval> = spec.series.iter().find_map(|series| series.in_band);
            let mut row = vec![
                spec.name.clone(),
                text(scores.end),
                difference(scores.end_gain),
                text(scores.mean),
                difference(scores.mean_gain),
                text(figure("entropy").and_then(|series: &SeriesSummary| series.last)),
            ];
            if band.is_some() {
                row.push(in_band.map_or_else(|| "–".to_owned(), |share| share.percent()));
            }
            row
        });
        Table {
            title: String::new(),
            head,
            rows: rows.collect(),
            caption: format!(
                "Mean over seeds ± half the width of its 95% interval (Student’s t). A difference to {first} is paired: each \
                 seed is compared with itself. The end is the mean over the last 5% of the steps."
            ),
        }
    }
}

/// The names of the losses by index: one name if all runs agree, otherwise each run's.
pub(super) fn names(runs: &[Compared]) -> Vec<String> {
    let name =
        |place: usize| distinct(runs.iter().map(|run| run.folder.run.specs[place].name.as_str())).join(" / ");
    (0..runs.first().map_or(0, |run| run.specs.len())).map(name).collect()
}

/// The distinct names, in order.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The scores of all losses on all tasks, one row per loss.
pub(super) fn overview(runs: &[Compared]) -> Table {
    let mut head = vec!["loss".to_owned()];
    for run in runs {
        head.extend([
            format!("{}: {}, end", run.folder.run.task, run.score()),
            "difference to the first".into(),
        ]);
    }
    let rows = names(runs).into_iter().enumerate().map(|(place, name)| {
        let cells = runs.iter().flat_map(|run| {
            let scores = &run.specs[place];
            [text(scores.end), difference(scores.end_gain)]
        });
        std::iter::once(name).chain(cells).collect()
    });
    Table { head, rows: rows.collect(), ..Table::default() }
}

/// The differences to the first loss, one bar per loss and task: at the end, and of the mean over the steps.
pub(super) fn bars(runs: &[Compared]) -> [Bars; 2] {
    let chart = |title: &str, pick: fn(&Scores) -> Option<Interval>| {
        let groups = names(runs).into_iter().enumerate().skip(1).map(|(place, name)| {
            let gains = || runs.iter().map(|run| pick(&run.specs[place]));
            let number = |gain: Option<f64>| gain.unwrap_or(f64::NAN);
            Group {
                name,
                values: gains().map(|gain| number(gain.map(|gain| gain.mean))).collect(),
                errors: Some(gains().map(|gain| number(gain.and_then(|gain| gain.half))).collect()),
                reference: None,
            }
        });
        let score = |run: &Compared| format!("{}: {}", run.folder.run.task, run.score());
        let scores: Vec<String> = runs.iter().map(score).collect();
        Bars {
            title: title.to_owned(),
            x: runs.iter().map(|run| run.folder.run.task.clone()).collect(),
            x_label: String::new(),
            y_label: "difference to the first loss".to_owned(),
            groups: groups.collect(),
            caption: format!(
                "Of {}. Whiskers: 95% interval over seeds of the paired difference; where one crosses zero, the seeds do not tell \
                 the two losses apart.",
                scores.join(", ")
            ),
        }
    };
    [
        chart("Difference at the end", |scores| scores.end_gain),
        chart("Difference of the mean over the steps", |scores| scores.mean_gain),
    ]
}

fn text(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "–".to_owned(), |interval| interval.to_string())
}

/// The interval with its sign.
fn difference(interval: Option<Interval>) -> String {
    interval.map_or_else(
        || "–".to_owned(),
        |interval| {
            let half = interval.half.map(|half| format!(" ± {half:.3}")).unwrap_or_default();
            format!("{:+.3}{half}", interval.mean).replace('-', "−")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::RunFolder;

    const SERIES: &str =
        r#"[{"key": "entropy", "label": "entropy", "band": {"aent": [0.1, 0.2], "none": [0.1, 0.2]}}]"#;

    /// `aent` falls by 1 and then 3 below `none`, and on average by 0.5 and 1.5: two steps of each seed.
    fn compared() -> Compared {
        let folder = RunFolder::new(&[0, 1], 2, SERIES);
        folder.metrics("aent", 0, &[(0, 0.0), (1, 7.0)]);
        folder.metrics("aent", 1, &[(0, 0.0), (1, 9.0)]);
        folder.metrics("none", 0, &[(0, 0.0), (1, 6.0)]);
        folder.metrics("none", 1, &[(0, 0.0), (1, 6.0)]);
        Compared::of(folder.read())
    }

    #[test]
    fn differences_are_paired_by_seed_at_the_end_and_on_the_way() {
        let run = compared();
        assert_eq!((run.score(), run.first()), ("entropy", "aent"));
        let none = &run.specs[1];
        assert_eq!(none.end, Some(Interval { mean: 6.0, half: Some(0.0), count: 2 }));
        // Differences −1 and −3: standard error 1, t(1) = 12.7062. The mean over steps differs by half as much.
        let gain = none.end_gain.unwrap();
        assert!((gain.mean + 2.0).abs() < 1e-12 && (gain.half.unwrap() - 12.7062).abs() < 1e-9, "{gain:?}");
        let gain = none.mean_gain.unwrap();
        assert!((gain.mean + 1.0).abs() < 1e-12 && (gain.half.unwrap() - 6.3531).abs() < 1e-9, "{gain:?}");
        assert_eq!(run.specs[0].end_gain, None);
    }

    #[test]
    fn a_seed_that_only_one_of_two_specs_has_is_not_compared() {
        let folder = RunFolder::new(&[0, 1], 1, SERIES);
        folder.metrics("aent", 0, &[(0, 1.0)]);
        folder.metrics("none", 0, &[(0, 4.0)]);
        folder.metrics("none", 1, &[(0, 90.0)]);
        let run = Compared::of(folder.read());
        assert_eq!(run.specs[1].end_gain, Some(Interval { mean: 3.0, half: None, count: 1 }));
    }

    #[test]
    fn the_table_of_a_run_says_all_figures_with_their_sign_and_band() {
        let table = compared().table();
        assert_eq!(table.head[2], "difference to aent");
        assert_eq!(table.head[6], "steps with clamped entropy in 0.1 to 0.2");
        assert_eq!(table.rows[1][..3], ["none", "6.00 ± 0.00", "−2.000 ± 12.706"]);
        assert_eq!(table.rows[0][2], "–");
        assert_eq!(table.rows[0][6], "0 ± 0%");
    }

    #[test]
    fn losses_of_two_runs_stand_in_one_row_by_their_place() {
        let mut other = compared();
        other.folder.run.specs[0].name = "grpo".into();
        let runs = [compared(), other];
        assert_eq!(names(&runs), ["aent / grpo", "none"]);
        let table = overview(&runs);
        assert_eq!(
            table.rows[1],
            ["none", "6.00 ± 0.00", "−2.000 ± 12.706", "6.00 ± 0.00", "−2.000 ± 12.706"]
        );
        let [ends, means] = bars(&runs);
        assert_eq!((ends.groups.len(), &ends.groups[0].values), (1, &vec![-2.0, -2.0]));
        assert_eq!(means.groups[0].values, [-1.0, -1.0]);
    }
}
