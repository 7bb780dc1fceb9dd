//! `aent check`: reports everything that is wrong with some files.

use super::input;
use crate::arguments::{Check, Format};
use crate::render::{Counts, counted};
use crate::{Outcome, Status, render, stream};
use serde_json::{Value, json};

/// Checks every file and reports all diagnostics: as text on standard error, or as JSON on standard output.
pub(crate) fn run(arguments: &Check) -> Outcome {
    let compiler = input::compiler(&[], &arguments.allow_import);
    let mut counts = Counts::default();
    let mut values: Vec<Value> = Vec::new();
    for file in &arguments.files {
        let compiled = input::compile(&compiler, file)?;
        let (found, sources) = match &compiled {
            Ok(program) => (program.warnings(), program.sources()),
            Err(failure) => (&failure.diagnostics, &failure.sources),
        };
        counts.add(found);
        match arguments.format {
            Format::Human => stream::report(&render::human(found, sources))?,
            // Two files may import the same faulty file.
            Format::Json => {
                for value in aent_show::json(found, sources) {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
        }
    }
    match arguments.format {
        Format::Human => stream::report(&summary(arguments.files.len(), counts))?,
        Format::Json => stream::print(&format!("{:#}\n", json!({ "diagnostics": values })))?,
    }
    Ok(if counts.errors > 0 { Status::Wrong } else { Status::Done })
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
