//! Writes the report of one run, or of several for comparison: one self-contained page.

mod bars;
mod chart;
mod comparison;
mod comparison_page;
mod highlight;
mod lines;
mod load;
mod page;
pub mod run;
mod series;
mod statistics;
mod summary;
mod traces;

use std::io;
use std::path::{Path, PathBuf};

pub use run::Run;
pub use statistics::Interval;
pub use summary::{SeriesSummary, SpecSummary, Summary, SummaryTable};

use chart::Figure;
use comparison::Compared;
use comparison_page::Shown;
use load::Folder;
use run::Chart;

/// Why a run folder has no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder has no `run.json`.
    #[error(
        "`{}`: expected a run folder with the `run.json` that `aent train` writes, found none; \
         name the folder that `aent train` printed", .folder.display()
    )]
    NotARun {
        /// The folder.
        folder: PathBuf,
    },
    /// The runs to compare have different numbers of specs.
    #[error(
        "`{}`: expected {expected} losses as in the first run, in the same order, found {found}; \
         train the same methods on every task", .folder.display()
    )]
    Unlike {
        /// The folder.
        folder: PathBuf,
        /// The number of specs in the first run.
        expected: usize,
        /// The number in this one.
        found: usize,
    },
    /// No seed of any spec has left metrics.
    #[error(
        "`{}`: expected a `metrics.jsonl` with at least one step in `SPEC/seed-N/`, found none; \
         the training has not made its first step: start it again{}",
        .folder.display(), with_command(.command)
    )]
    NothingTrained {
        /// The folder.
        folder: PathBuf,
        /// The command that repeats the run; may be empty.
        command: String,
    },
    /// `run.json` is incomplete or invalid.
    #[error("`{}`: expected the description of a run, found: {found}", .path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A line of a metrics file is invalid, and not because a kill interrupted its writing.
    #[error("`{}` line {line}: expected an object of numbers with a `step`, found: {found}", .path.display())]
    Metrics {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        found: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Reads a run folder, writes `report.html` into it and returns that file's path. The file is replaced atomically, so that a
/// report can be written again while someone reads the last one.
pub fn write(folder: &Path) -> Result<PathBuf, ReportError> {
    let read = Folder::read(folder)?;
    let series: Vec<Figure> =
        read.run.series.iter().filter_map(|series| series::figure(series, &read)).collect();
    let extra: Vec<Option<Figure>> = read
        .run
        .charts
        .iter()
        .map(|chart| match chart {
            Chart::Bars(bars) => Some(bars::figure(bars, |name| read.run.colour(chart, name))),
            Chart::Lines(lines) => Some(lines::figure(lines, |name| read.run.colour(chart, name))),
            Chart::Table(_) => None,
        })
        .collect();
    replace(folder, &page::page(&read, &Summary::of(&read), &series, &extra))
}

/// The series that a comparison shows besides the score.
const COMPARED: [&str; 3] = ["entropy", "clamped_entropy", "coefficient"];

/// Reads runs of the same methods on different tasks, with each run's specs in the same order, and writes one page that compares
/// them, `report.html` in the folder `out`, whose path it returns. `notes` are sentences on how the runs were set up.
pub fn compare(folders: &[PathBuf], out: &Path, notes: &[String]) -> Result<PathBuf, ReportError> {
    let runs: Vec<Compared> =
        folders.iter().map(|folder| Folder::read(folder).map(Compared::of)).collect::<Result<_, _>>()?;
    let expected = runs.first().map_or(0, |run| run.specs.len());
    if let Some((folder, run)) = folders.iter().zip(&runs).find(|(_, run)| run.specs.len() != expected) {
        return Err(ReportError::Unlike { folder: folder.clone(), expected, found: run.specs.len() });
    }
    let names = comparison::names(&runs);
    let place = |name: &str| names.iter().position(|other| other == name).unwrap_or(names.len());
    let bars = comparison::bars(&runs).map(|bars| bars::figure(&bars, place));
    let shown: Vec<Shown<'_>> = folders
        .iter()
        .zip(&runs)
        .map(|(path, run)| {
            // A run that is not below the page is shown by its path, without a link.
            Shown { run, path: path.strip_prefix(out).unwrap_or(path), curves: curves(run) }
        })
        .collect();
    replace(out, &comparison_page::page(&runs, &bars, &shown, notes))
}

/// The curves of the score, and of series that explain it.
fn curves(run: &Compared) -> Vec<Figure> {
    let Compared { folder, .. } = run;
    let shown = folder.run.series.iter().enumerate();
    let shown = shown.filter(|(place, series)| *place == 0 || COMPARED.contains(&series.key.as_str()));
    let figures = shown.filter_map(|(_, series)| {
        let figure = series::figure(series, folder)?;
        Some(Figure { title: format!("{}: {}", folder.run.task, figure.title), ..figure })
    });
    figures.collect()
}

/// Reads a run folder and computes its figures, as shown on the page and on a terminal.
pub fn summary(folder: &Path) -> Result<Summary, ReportError> {
    Folder::read(folder).map(|folder| Summary::of(&folder))
}

/// Writes the page into a folder, in place of an earlier one.
fn replace(folder: &Path, page: &str) -> Result<PathBuf, ReportError> {
    let path = folder.join("report.html");
    std::fs::create_dir_all(folder)
        .and_then(|()| aent_files::write(&path, page.as_bytes()))
        .map_err(|source| ReportError::Io { action: "write", path: path.clone(), source })?;
    Ok(path)
}

fn with_command(command: &str) -> String {
    if command.is_empty() { String::new() } else { format!(" with `{command}`") }
}

#[cfg(test)]
mod tests;
