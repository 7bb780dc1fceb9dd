//! The report of a run: one self-contained page and the same plots as PNG.

mod axis;
mod bars;
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
    /// `run.json` does not say what it must.
    #[error("`{}`: expected the description of a run, found: {found}", .path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A line of a metrics file is broken, and not because it was being written during a kill.
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

/// Reads a run folder and writes `report.html` and `plots/*.png` into it. Each file appears whole or not at
/// all, so that a report may be written again while someone reads the last one.
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

    let pictures = folder.join("plots");
    fs::create_dir_all(&pictures).map_err(|source| ReportError::Io { path: pictures.clone(), source })?;
    let mut plots = Vec::new();
    for (index, figure) in series.iter().chain(extra.iter().flatten()).enumerate() {
        let bytes = png::render(&figure.drawing.standalone(&figure.title))
            .map_err(|found| ReportError::Picture { title: figure.title.clone(), found })?;
        let path = pictures.join(format!("{:02}-{}.png", index + 1, file_name(&figure.title)));
        replace(&path, &bytes)?;
        plots.push(path);
    }
    let html = folder.join("report.html");
    replace(&html, page::page(&read, &Summary::of(&read), &series, &extra).as_bytes())?;
    Ok(Report { html, plots })
}

/// Reads a run folder and computes its figures, as the page and a terminal show them.
pub fn summary(folder: &Path) -> Result<Summary, ReportError> {
    Folder::read(folder).map(|folder| Summary::of(&folder))
}

/// Writes a file beside its place and then moves it there.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| ReportError::Io { path: path.into(), source })
}

/// A heading as part of a file's name: small letters and digits, the rest as single dashes.
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
