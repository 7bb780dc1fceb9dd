//! `aent compare`: one page for finished runs of the same methods on different tasks.

use crate::arguments::Compare;
use crate::{Outcome, Status, stream};
use aent_train::report;

/// Writes the page and says where it is.
pub(crate) fn run(arguments: &Compare) -> Outcome {
    let report = report::compare(&arguments.folders, &arguments.out, &arguments.note)
        .map_err(|error| error.to_string())?;
    stream::print(&format!("comparison: {}\n", report.html.display()));
    Ok(Status::Done)
}
