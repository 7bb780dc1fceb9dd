//! Writes the report of one run, or of several for comparison: a self-contained page, and its plots as PNG.

mod axis;
mod bars;
mod comparison;
mod comparison_page;
mod highlight;
mod lines;
mod load;
mod page;
mod panels;
mod plot;
mod png;
pub mod run;
mod series;
mod statistics;
mod summary;
mod svg;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use run::Run;
pub use statistics::Interval;
pub use summary::{SeriesSummary, SpecSummary, Summary, SummaryTable};

use comparison::Compared;
use comparison_page::Shown;
use load::Folder;
use plot::Figure;
use run::Chart;

/// The files of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The page.
    pub html: PathBuf,
    /// The same plots as PNG files, in the page's order.
    pub plots: Vec<PathBuf>,
}

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
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A chart cannot be drawn as a picture.
    #[error("the plot `{title}`: {found}")]
    Picture {
        /// The chart's heading.
        title: String,
        /// The reason.
        found: String,
    },
}

/// Reads a run folder and writes `report.html` and `plots/*.png` into it. Each file is replaced atomically, so that a
/// report can be written again while someone reads the last one.
pub fn write(folder: &Path) -> Result<Report, ReportError> {
    let read = Folder::read(folder)?;
    let series: Vec<Figure> = read
        .run
        .series
        .iter()
        .enumerate()
        .filter_map(|(index, series)| series::figure(series, &read, format!("series-{index}")))
        .collect();
    let extra: Vec<Option<Figure>> = read
        .run
        .charts
        .iter()
        .enumerate()
        .map(|(index, chart)| match chart {
            Chart::Bars(bars) => Some(bars::figure(bars, |name| read.run.colour(chart, name))),
            Chart::Lines(lines) => {
                Some(lines::figure(lines, format!("chart-{index}"), |name| read.run.colour(chart, name)))
            }
            Chart::Table(_) => None,
        })
        .collect();

    let plots = draw(folder, series.iter().chain(extra.iter().flatten()))?;
    let html = folder.join("report.html");
    replace(&html, page::page(&read, &Summary::of(&read), &series, &extra).as_bytes())?;
    Ok(Report { html, plots })
}

/// The series that a comparison shows besides the score.
const COMPARED: [&str; 3] = ["entropy", "clamped_entropy", "coefficient"];

/// Reads runs of the same methods on different tasks, with each run's specs in the same order, and writes one page that compares
/// them into the folder `out`: `report.html` and `plots/*.png`. `notes` are sentences on how the runs were set up.
pub fn compare(folders: &[PathBuf], out: &Path, notes: &[String]) -> Result<Report, ReportError> {
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
        .enumerate()
        .map(|(index, (path, run))| {
            // A run that is not below the page is shown by its path, without a link.
            Shown { run, path: path.strip_prefix(out).unwrap_or(path), curves: curves(index, run) }
        })
        .collect();
    let plots = draw(out, bars.iter().chain(shown.iter().flat_map(|run| &run.curves)))?;
    let html = out.join("report.html");
    replace(&html, comparison_page::page(&runs, &bars, &shown, notes).as_bytes())?;
    Ok(Report { html, plots })
}

/// The curves of the score, and of series that explain it.
fn curves(index: usize, run: &Compared) -> Vec<Figure> {
    let Compared { folder, .. } = run;
    let shown = folder.run.series.iter().enumerate();
    let shown = shown.filter(|(place, series)| *place == 0 || COMPARED.contains(&series.key.as_str()));
    let figures = shown.filter_map(|(place, series)| {
        let figure = series::figure(series, folder, format!("run-{index}-series-{place}"))?;
        Some(Figure { title: format!("{}: {}", folder.run.task, figure.title), ..figure })
    });
    figures.collect()
}

/// Reads a run folder and computes its figures, as shown on the page and on a terminal.
pub fn summary(folder: &Path) -> Result<Summary, ReportError> {
    Folder::read(folder).map(|folder| Summary::of(&folder))
}

/// Draws figures as `plots/*.png` in a folder, numbered in their order.
fn draw<'a>(folder: &Path, figures: impl Iterator<Item = &'a Figure>) -> Result<Vec<PathBuf>, ReportError> {
    let pictures = folder.join("plots");
    fs::create_dir_all(&pictures).map_err(|source| ReportError::Io { path: pictures.clone(), source })?;
    let mut plots = Vec::new();
    for (index, figure) in figures.enumerate() {
        let bytes = png::render(&figure.drawing.standalone(&figure.title))
            .map_err(|found| ReportError::Picture { title: figure.title.clone(), found })?;
        let path = pictures.join(format!("{:02}-{}.png", index + 1, file_name(&figure.title)));
        replace(&path, &bytes)?;
        plots.push(path);
    }
    Ok(plots)
}

/// Replaces a file atomically.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    aent_files::write(path, bytes).map_err(|source| ReportError::Io { path: path.into(), source })
}

/// A heading as part of a file name: lowercase letters and digits, everything else as single dashes.
fn file_name(title: &str) -> String {
    let mut name = String::new();
    for letter in title.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() >= 48 {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "plot".into() } else { name.into() }
}

fn with_command(command: &str) -> String {
    if command.is_empty() { String::new() } else { format!(" with `{command}`") }
}

#[cfg(test)]
mod tests;
