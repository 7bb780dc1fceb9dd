//! Reads a run folder: `run.json` and each seed's `metrics.jsonl`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{ReportError, Run};

/// A run folder in memory.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    /// The contents of `run.json`.
    pub(super) run: Run,
    /// The seeds found for each spec, in the order of [`Run::specs`].
    pub(super) trained: Vec<Vec<Trained>>,
}

/// The metrics of one spec and seed.
#[derive(Debug, Clone, Default)]
pub(super) struct Trained {
    /// The seed.
    pub(super) seed: u64,
    /// The number of steps written; they are numbered from 0.
    pub(super) steps: u64,
    /// Values by key and step, ascending.
    values: BTreeMap<String, BTreeMap<u64, f64>>,
}

impl Folder {
    /// Reads the folder. Seeds that have not started are left out; a folder without any seed is an error.
    pub(super) fn read(folder: &Path) -> Result<Self, ReportError> {
        let path = folder.join("run.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ReportError::NotARun { folder: folder.into() });
            }
            other => {
                other.map_err(|source| ReportError::Io { action: "read", path: path.clone(), source })?
            }
        };
        let run: Run = serde_json::from_slice(&text)
            .map_err(|found| ReportError::Run { path: path.clone(), found: found.to_string() })?;
        let mut trained = Vec::new();
        for spec in &run.specs {
            let mut seeds = Vec::new();
            for &seed in &run.seeds {
                let path = folder.join(&spec.name).join(format!("seed-{seed}")).join("metrics.jsonl");
                match fs::read(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(source) => return Err(ReportError::Io { action: "read", path, source }),
                    Ok(bytes) => seeds.push(Trained::parse(seed, &bytes, &path)?),
                }
            }
            seeds.retain(|seed| seed.steps > 0);
            trained.push(seeds);
        }
        if trained.iter().all(Vec::is_empty) {
            return Err(ReportError::NothingTrained { folder: folder.into(), command: run.command });
        }
        Ok(Self { run, trained })
    }

    /// One sentence for each spec and seed that is missing or incomplete.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (spec, trained) in self.run.specs.iter().zip(&self.trained) {
            for seed in &self.run.seeds {
                match trained.iter().find(|one| one.seed == *seed) {
                    None => sentences.push(format!("{}, seed {seed}: not begun", spec.name)),
                    Some(one) if one.steps < self.run.steps => sentences.push(format!(
                        "{}, seed {seed}: stopped after {} of {} steps",
                        spec.name, one.steps, self.run.steps
                    )),
                    Some(_) => {}
                }
            }
        }
        sentences
    }
}

impl Trained {
    /// The values of one series with their steps, ascending; empty if it was never measured.
    pub(super) fn series(&self, key: &str) -> Vec<(u64, f64)> {
        self.values
            .get(key)
            .map(|values| values.iter().map(|(&step, &value)| (step, value)).collect())
            .unwrap_or_default()
    }

    /// Parses a metrics file. If a step was written twice, the last line counts.
    fn parse(seed: u64, bytes: &[u8], path: &Path) -> Result<Self, ReportError> {
        let mut trained = Self { seed, ..Self::default() };
        // A kill may leave a last line without its end; only such a line may be unreadable.
        let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let last = line.as_ptr() as usize - bytes.as_ptr() as usize >= complete;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let fault = |found: String| ReportError::Metrics { path: path.into(), line: index + 1, found };
            let values: BTreeMap<String, Option<f64>> = match serde_json::from_slice(line) {
                Ok(values) => values,
                Err(_) if last => break,
                Err(error) => return Err(fault(error.to_string())),
            };
            let Some(step) = values.get("step").copied().flatten() else {
                return Err(fault("no `step`".into()));
            };
            let step = step as u64;
            trained.steps = trained.steps.max(step + 1);
            for (key, value) in values {
                let Some(value) = value.filter(|_| key != "step") else { continue };
                trained.values.entry(key).or_default().insert(step, value);
            }
        }
        Ok(trained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Trained, ReportError> {
        Trained::parse(7, text.as_bytes(), Path::new("aent/seed-7/metrics.jsonl"))
    }

    #[test]
    fn a_half_written_last_line_is_ignored() {
        let trained = parse("{\"step\": 0, \"reward\": 0.5}\n{\"step\": 1, \"rew").unwrap();
        assert_eq!(trained.steps, 1);
        assert_eq!(trained.series("reward"), [(0, 0.5)]);
    }

    #[test]
    fn a_whole_last_line_without_its_end_counts() {
        assert_eq!(parse("{\"step\": 1, \"reward\": 0.5}").unwrap().series("reward"), [(1, 0.5)]);
    }

    #[test]
    fn a_broken_line_elsewhere_names_the_file_and_the_line() {
        let message = parse("{\"step\": 1}\n{\"step\": 2, \"rew\n{\"step\": 3}\n").unwrap_err().to_string();
        assert!(message.contains("aent/seed-7/metrics.jsonl` line 2"), "{message}");
    }

    #[test]
    fn a_line_without_a_step_is_an_error() {
        let message = parse("{\"reward\": 1}\n").unwrap_err().to_string();
        assert!(message.contains("no `step`"), "{message}");
    }

    #[test]
    fn null_is_no_value_and_a_repeated_step_counts_once() {
        let text =
            "{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":null}\n{\"step\":3,\"a\":2}\n{\"step\":3,\"a\":4}\n";
        assert_eq!(parse(text).unwrap().series("a"), [(1, 1.0), (3, 4.0)]);
    }
}
