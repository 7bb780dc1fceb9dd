//! `aent compare`: one page for finished runs of the same methods on different tasks.

use crate::arguments::Compare;
use crate::{Outcome, Status, render, stream};
use aent_experiments::report;

/// Writes the page and prints its path.
pub(crate) fn run(arguments: &Compare) -> Outcome {
    if let Some(run) = arguments.folders.iter().find(|run| aent_files::same(run, &arguments.out)) {
        let (out, run) = (arguments.out.display(), run.display());
        let sentence =
            format!("`--out {out}` would overwrite the report of the run `{run}`: name another folder");
        stream::complain(&render::sentence(&sentence));
        return Ok(Status::Usage);
    }
    let report = report::compare(&arguments.folders, &arguments.out, &arguments.note)
        .map_err(|error| error.to_string())?;
    stream::print(&format!("comparison: {}\n", report.display()))?;
    Ok(Status::Done)
}
