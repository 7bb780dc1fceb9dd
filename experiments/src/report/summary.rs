//! The figures of a run: for each spec, the first and last values of each series, over seeds.

use super::load::{Folder, Trained};
use super::run::{Columns, Series};
use super::statistics::{Interval, ending, mean};

/// The figures of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// One entry for each spec, in the run's order.
    pub specs: Vec<SpecSummary>,
    /// One sentence for each spec and seed that is missing or incomplete; empty for a finished run.
    pub unfinished: Vec<String>,
}

/// The figures of one spec.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecSummary {
    /// The spec's name.
    pub name: String,
    /// The number of seeds with any metrics.
    pub seeds: usize,
    /// One entry for each series, in the run's order.
    pub series: Vec<SeriesSummary>,
}

/// The figures of one spec and series. Each is `None` if no seed measured it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSummary {
    /// The key in `metrics.jsonl`.
    pub key: String,
    /// The first measured value.
    pub first: Option<Interval>,
    /// The mean over the last 5% of the steps.
    pub last: Option<Interval>,
    /// The share of measured steps inside the target band; also `None` for a spec without a band.
    pub in_band: Option<Interval>,
    /// The target band.
    pub band: Option<[f64; 2]>,
}

/// The summary as text, ready for a terminal or a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryTable {
    /// The columns' names; the first is `spec`.
    pub head: Vec<String>,
    /// One row for each spec.
    pub rows: Vec<Vec<String>>,
}

impl Summary {
    /// Computes the figures of a run folder.
    pub(super) fn of(folder: &Folder) -> Self {
        let specs = folder.run.specs.iter().zip(&folder.trained).map(|(spec, trained)| {
            let series = folder.run.series.iter().map(|series| {
                let band = series.band.as_ref().and_then(|bands| bands.get(&spec.name)).copied();
                SeriesSummary::of(series, band, trained, folder.run.steps)
            });
            SpecSummary { name: spec.name.clone(), seeds: trained.len(), series: series.collect() }
        });
        Self { specs: specs.collect(), unfinished: folder.unfinished() }
    }

    /// The table for a terminal and for the page, with the columns that `series` asks for.
    pub fn table(&self, series: &[Series]) -> SummaryTable {
        let mut table = SummaryTable {
            head: vec!["spec".into()],
            rows: self.specs.iter().map(|spec| vec![spec.name.clone()]).collect(),
        };
        let mut column = |head: String, cell: &dyn Fn(&SpecSummary) -> Option<String>| {
            let cells: Vec<Option<String>> = self.specs.iter().map(cell).collect();
            if cells.iter().any(Option::is_some) {
                table.head.push(head);
                for (row, cell) in table.rows.iter_mut().zip(cells) {
                    row.push(cell.unwrap_or_else(|| "–".into()));
                }
            }
        };
        for (index, series) in series.iter().enumerate() {
            let label = &series.label;
            if series.columns() == Columns::FirstAndLast {
                column(format!("{label}, start"), &|spec| spec.text(index, |figures| figures.first));
            }
            if series.columns() != Columns::None {
                column(format!("{label}, end"), &|spec| spec.text(index, |figures| figures.last));
            }
            column(format!("steps with {label} in its band"), &|spec| {
                spec.series.get(index)?.in_band.map(|share| share.percent())
            });
        }
        table
    }
}

impl SpecSummary {
    fn text(&self, index: usize, pick: fn(&SeriesSummary) -> Option<Interval>) -> Option<String> {
        pick(self.series.get(index)?).map(|interval| interval.to_string())
    }
}

/// A number computed from the steps and values of one seed.
type Figure<'a> = &'a dyn Fn(&[(u64, f64)]) -> f64;

impl SeriesSummary {
    fn of(series: &Series, band: Option<[f64; 2]>, trained: &[Trained], steps: u64) -> Self {
        let seeds: Vec<Vec<(u64, f64)>> =
            trained.iter().map(|seed| seed.series(&series.key)).filter(|values| !values.is_empty()).collect();
        let over = |figure: Figure<'_>| {
            Interval::over(&seeds.iter().map(|values| figure(values)).collect::<Vec<_>>())
        };
        Self {
            key: series.key.clone(),
            first: over(&|values| values[0].1),
            last: over(&|values| ending(values, steps).unwrap_or(f64::NAN)),
            in_band: band.and_then(|[low, high]| {
                over(&|values| {
                    let inside = values.iter().map(|&(_, value)| f64::from(low <= value && value <= high));
                    mean(&inside.collect::<Vec<_>>())
                })
            }),
            band,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::RunFolder;

    const BAND: &str = r#"[{"key": "entropy", "label": "entropy", "band": {"aent": [0.1, 0.2]}}]"#;

    #[test]
    fn figures_are_means_over_seeds_of_the_first_value_and_of_the_end() {
        let folder = RunFolder::new(&[0, 1], 40, BAND);
        // The end is the mean over steps 39 and 40: 2 and 6 for one seed, 4 and 4 for the other.
        folder.metrics("aent", 0, &[(1, 1.0), (38, 100.0), (39, 2.0), (40, 6.0)]);
        folder.metrics("aent", 1, &[(1, 3.0), (39, 3.0), (40, 3.0)]);
        let figures = folder.summary().specs[0].series[0].clone();
        assert_eq!(figures.first.map(|first| first.mean), Some(2.0));
        let last = figures.last.unwrap();
        assert_eq!(Some(last.mean), Some(3.5));
        // Two values that differ by one: standard error 1/2, t(1) = 12.7062.
        assert!((last.half.unwrap() - 12.7062 / 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_share_in_the_band_counts_both_edges() {
        let folder = RunFolder::new(&[0], 4, BAND);
        folder.metrics("aent", 0, &[(1, 0.05), (2, 0.1), (3, 0.2), (4, 0.3)]);
        folder.metrics("none", 0, &[(1, 0.15)]);
        let summary = folder.summary();
        assert_eq!(summary.specs[0].series[0].in_band.map(|share| share.mean), Some(0.5));
        assert_eq!(summary.specs[1].series[0].in_band, None);
    }

    #[test]
    fn a_missing_seed_is_named_and_left_out_of_the_means() {
        let folder = RunFolder::new(&[0, 1], 2, BAND);
        folder.metrics("aent", 0, &[(0, 5.0), (1, 7.0)]);
        folder.metrics("none", 0, &[(0, 5.0), (1, 7.0)]);
        folder.metrics("none", 1, &[(0, 5.0)]);
        let summary = folder.summary();
        assert_eq!(summary.specs[0].seeds, 1);
        assert_eq!(summary.specs[0].series[0].last, Some(Interval { mean: 7.0, half: None, count: 1 }));
        assert_eq!(
            summary.unfinished,
            ["aent, seed 1: not begun", "none, seed 1: stopped after 1 of 2 steps"]
        );
    }

    #[test]
    fn the_table_has_a_dash_where_a_spec_has_no_figure() {
        let folder = RunFolder::new(&[0], 2, BAND);
        folder.metrics("aent", 0, &[(1, 0.15), (2, 0.25)]);
        let table = folder.summary().table(&serde_json::from_str::<Vec<Series>>(BAND).unwrap());
        assert_eq!(table.head, ["spec", "entropy, start", "entropy, end", "steps with entropy in its band"]);
        assert_eq!(table.rows, [["aent", "0.150", "0.250", "50%"], ["none", "–", "–", "–"]]);
    }
}
