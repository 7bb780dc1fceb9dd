//! Trains every spec on every seed of a task, side by side, into one folder from which a killed run resumes.

mod checkpoint;
#[cfg(test)]
mod damaged;
mod folder;
mod job;
mod objective;
mod options;
mod probe;
mod progress;
pub mod random;
mod schedule;
mod spec;

use std::path::PathBuf;

pub use checkpoint::{read_tensors, write_tensors};
pub use objective::{Measured, Objective};
pub use options::TrainOptions;

use crate::error::TrainError;
use crate::tasks;
use folder::Folder;
use progress::Progress;
use schedule::Plan;

/// The result of a finished run.
#[derive(Debug)]
pub struct Outcome {
    /// The folder with everything.
    pub folder: PathBuf,
    /// Whether the folder contained a part of this run, which was continued.
    pub resumed: bool,
}

/// Trains the specs, or continues the folder's run, and completes `run.json` for the report.
pub fn train(options: &TrainOptions) -> Result<Outcome, TrainError> {
    let task = tasks::named(&options.task, options.preset.as_deref(), &options.task_settings, options.steps)?;
    let plan = Plan::new(options, task.as_ref())?;
    let folder = Folder::open(&options.out, plan.describe(options, task.as_ref()))?;
    let progress = Progress::new(&plan, options.quiet);
    schedule::run(&plan, task.as_ref(), &folder, &progress)?;
    progress.finish();
    folder.conclude(task.conclude(folder.path())?)?;
    Ok(Outcome { folder: folder.path().to_path_buf(), resumed: folder.resumed() })
}
