//! The options of a training run.

use std::path::PathBuf;

use aent::program::ParamValue;
use tch::Device;

/// The arguments of `aent train`.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// The specs' files; each file's stem names its runs.
    pub specs: Vec<PathBuf>,
    /// The task's name.
    pub task: String,
    /// One of the task's presets; by default its first.
    pub preset: Option<String>,
    /// The seeds; by default `0 ..` as many as the task asks for.
    pub seeds: Option<Vec<u64>>,
    /// Global steps of each run; by default the task's own number.
    pub steps: Option<u64>,
    /// The run folder. If it contains the same run, finished or not, that run is continued.
    pub out: PathBuf,
    /// The device for tensors.
    pub device: Device,
    /// Values for the specs' `param`s; a name that no spec declares is refused.
    pub overrides: Vec<(String, ParamValue)>,
    /// Folders that the specs may import from besides their own project.
    pub allowed_imports: Vec<PathBuf>,
    /// Values for the task's settings, by their names in the report, as JSON or plain text.
    pub task_settings: Vec<(String, String)>,
    /// How many runs to train at a time; by default one per core. It does not change any number.
    pub jobs: Option<usize>,
    /// Whether to hide progress.
    pub quiet: bool,
    /// The command line that repeats the run, for the report.
    pub command: String,
}

impl TrainOptions {
    /// Options with defaults for everything optional.
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
