//! What a training run is asked to do.

use std::path::PathBuf;

use tch::Device;

/// The arguments of `aent train`.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// The specs' files; each file's stem names its runs.
    pub specs: Vec<PathBuf>,
    /// The task's name.
    pub task: String,
    /// One of the task's groups of settings; the task's first when missing.
    pub preset: Option<String>,
    /// The seeds; `0 ..` as many as the task asks for when missing.
    pub seeds: Option<Vec<u64>>,
    /// Global steps of each run; the task's own number when missing.
    pub steps: Option<u64>,
    /// The run folder. When it holds the same run, unfinished or not, that run is continued.
    pub out: PathBuf,
    /// Where tensors live.
    pub device: Device,
    /// Values for the specs' `param`s. One that no spec declares is refused.
    pub overrides: Vec<(String, f64)>,
    /// Folders that the specs may import from besides their own project.
    pub allowed_imports: Vec<PathBuf>,
    /// Values for the task's settings, by their names in the report, as JSON or plain text.
    pub task_settings: Vec<(String, String)>,
    /// How many runs are trained at a time; one per core when missing. It does not change any number.
    pub jobs: Option<usize>,
    /// Whether to show no progress.
    pub quiet: bool,
    /// The command line that repeats the run, for the report.
    pub command: String,
}

impl TrainOptions {
    /// Options with everything optional left out.
    pub fn new(specs: Vec<PathBuf>, task: impl Into<String>, out: impl Into<PathBuf>) -> Self {
        TrainOptions {
            specs,
            task: task.into(),
            preset: None,
            seeds: None,
            steps: None,
            out: out.into(),
            device: Device::Cpu,
            overrides: Vec::new(),
            allowed_imports: Vec::new(),
            task_settings: Vec::new(),
            jobs: None,
            quiet: false,
            command: String::new(),
        }
    }
}
