//! `aent train`: trains specs side by side on a built-in task, and writes a report.

use super::device;
use crate::arguments::Train;
use crate::{Outcome, Status, stream};
use aent::host::Libtorch;
use aent_experiments::report::{self, Run};
use aent_experiments::{TrainOptions, train};
use comfy_table::{ContentArrangement, Table, presets};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Trains, or continues the folder's run, and writes the report.
pub(crate) fn run(arguments: &Train) -> Outcome {
    let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&arguments.task));
    let options = TrainOptions {
        preset: arguments.preset.clone(),
        seeds: arguments.seeds.clone().map(|seeds| seeds.0),
        steps: arguments.steps,
        device: device::find(arguments.device, &Libtorch)?
            .try_into()
            .map_err(|error: aent::tensor::TensorError| error.to_string())?,
        overrides: arguments.set.clone(),
        allowed_imports: arguments.allow_import.clone(),
        task_settings: arguments.task_set.clone(),
        jobs: arguments.jobs,
        quiet: arguments.quiet,
        command: command_line(),
        ..TrainOptions::new(arguments.files.clone(), &arguments.task, folder)
    };
    let outcome = train(&options).map_err(|error| error.to_string())?;
    let report = report::write(&outcome.folder).map_err(|error| error.to_string())?;
    stream::print(&summary(&outcome.folder)?)?;
    stream::print(&format!("report: {}\n", report.display()))?;
    Ok(Status::Done)
}

/// The summary table of a finished run, for a terminal.
fn summary(folder: &Path) -> Result<String, String> {
    let path = folder.join("run.json");
    let text =
        fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let run: Run = serde_json::from_str(&text).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let summary = report::summary(folder).map_err(|error| error.to_string())?;
    let figures = summary.table(&run.series);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(figures.head).add_rows(figures.rows);
    let mut out = format!("{table}\n");
    for sentence in &summary.unfinished {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{sentence}");
    }
    Ok(out)
}

/// The command that repeats this run, for the report.
fn command_line() -> String {
    let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    std::iter::once("aent".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-./=,:%+@".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("specs/grpo.aent"), "specs/grpo.aent");
        assert_eq!(quoted("my spec"), "'my spec'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
