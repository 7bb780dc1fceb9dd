//! `aent check`: reports everything that is wrong with some files.

use super::{files, input};
use crate::arguments::{Check, CheckFormat};
use crate::render::{Counts, counted};
use crate::{Outcome, Status, render, stream, usage};
use aent::diag::Diagnostics;
use aent::source::Sources;
use serde_json::json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Checks every file and reports all diagnostics: for people on standard error, otherwise on standard output.
pub(crate) fn run(arguments: &Check) -> Outcome {
    if let Some(sentence) = files::contradiction(&arguments.files, arguments.stdin_filename.as_ref()) {
        return Ok(usage(sentence));
    }
    let files = files::expand(&arguments.files)?;
    let mut reports = compile(arguments, &files)?;
    only_imported(&files, &mut reports);
    // Two files may import the same faulty file.
    let mut seen = HashSet::new();
    let mut counts = Counts::default();
    for (found, sources) in &mut reports {
        found.deny(|warning| arguments.deny.iter().any(|deny| deny.applies(warning)));
        found.retain(|item| {
            let file = sources.get(item.span.source).name().to_owned();
            seen.insert((file, item.span.start, item.span.end, item.id, item.message.clone()))
        });
        counts.add(found);
    }
    write(arguments.format, &reports)?;
    let is_for_people = !matches!(arguments.format, CheckFormat::Json | CheckFormat::Sarif);
    if is_for_people && !arguments.quiet {
        stream::report(&summary(files.len(), counts))?;
    }
    Ok(if counts.errors > 0 { Status::Wrong } else { Status::Done })
}

/// What was found in a file and in what it imports.
type Report = (Diagnostics, Sources);

fn compile(arguments: &Check, files: &[PathBuf]) -> Result<Vec<Report>, String> {
    let mut compiler = input::compiler(&arguments.set, &arguments.allow_import);
    if let Some(known) = &arguments.known {
        compiler = compiler.known(known.iter().copied());
    }
    let stdin_name = input::stdin_name(arguments.stdin_filename.as_ref());
    let one = |file: &PathBuf| {
        Ok(match input::compile(&compiler, file, &stdin_name)? {
            Ok(program) => (program.warnings().clone(), program.sources().clone()),
            Err(failure) => (failure.diagnostics, failure.sources),
        })
    };
    files.iter().map(one).collect()
}

/// A file that another one of them imports needs no loss of its own.
fn only_imported(files: &[PathBuf], reports: &mut [Report]) {
    let paths = |(_, sources): &Report| -> Vec<PathBuf> {
        sources.iter().skip(1).filter_map(|(_, source)| source.path().map(Path::to_owned)).collect()
    };
    let imported: HashSet<PathBuf> = reports.iter().flat_map(paths).collect();
    for (file, (found, _)) in files.iter().zip(reports) {
        if file.canonicalize().is_ok_and(|path| imported.contains(&path)) {
            found.retain(|item| item.id != "missing-loss");
        }
    }
}

fn write(format: CheckFormat, reports: &[Report]) -> Result<(), String> {
    let all = || reports.iter();
    match format {
        CheckFormat::Human => {
            all().try_for_each(|(found, sources)| stream::report(&render::human(found, sources)))
        }
        CheckFormat::Short => lines(all().flat_map(|(found, sources)| aent_show::lines(found, sources))),
        CheckFormat::Github => lines(all().flat_map(|(found, sources)| aent_show::github(found, sources))),
        CheckFormat::Json => {
            let values: Vec<_> = all().flat_map(|(found, sources)| aent_show::json(found, sources)).collect();
            stream::print(&format!("{:#}\n", json!({ "diagnostics": values })))
        }
        CheckFormat::Sarif => {
            let results: Vec<_> =
                all().flat_map(|(found, sources)| aent_show::sarif(found, sources)).collect();
            stream::print(&format!("{:#}\n", aent_show::sarif_log(&results)))
        }
    }
}

fn lines(lines: impl Iterator<Item = String>) -> Result<(), String> {
    stream::print(&lines.map(|line| line + "\n").collect::<String>())
}

fn summary(files: usize, counts: Counts) -> String {
    let checked = counted(files, "file");
    let found = match (counts.errors, counts.warnings) {
        (0, 0) => "nothing to complain of".to_owned(),
        (0, warnings) => counted(warnings, "warning"),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    format!("{checked} checked: {found}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_there_is() {
        assert_eq!(summary(1, Counts { errors: 0, warnings: 0 }), "1 file checked: nothing to complain of\n");
        assert_eq!(summary(2, Counts { errors: 1, warnings: 2 }), "2 files checked: 1 error, 2 warnings\n");
    }
}
