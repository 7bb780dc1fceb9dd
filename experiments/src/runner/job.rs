//! One run: a spec trained on a seed and a case, from its checkpoint to its last step.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::Device;

use crate::error::TrainError;
use crate::runner::Objective;
use crate::runner::checkpoint::Checkpoint;
use crate::tasks::{Learner, Metrics};

/// What a run needs besides its learner and its loss.
pub(super) struct Job<'a> {
    /// The run's folder.
    pub(super) folder: &'a Path,
    /// The number of global steps.
    pub(super) steps: u64,
    /// The number of steps between checkpoints.
    pub(super) checkpoint_every: u64,
    /// The device for tensors.
    pub(super) device: Device,
    /// Set when another run failed, so that this one stops too.
    pub(super) stop: &'a AtomicBool,
    /// Shows a warning to the user.
    pub(super) warn: &'a dyn Fn(&str),
}

impl Job<'_> {
    /// Trains to the last step and reports each to `watch`; steps made before a kill are reported at once, as `None`. Warns of
    /// the first step in which an `assert` does not hold, and says at the end in how many.
    pub(super) fn train(
        &self,
        learner: &mut dyn Learner,
        objective: &mut Objective,
        mut watch: impl FnMut(u64, Option<&Metrics>),
    ) -> Result<(), TrainError> {
        fs::create_dir_all(self.folder).map_err(TrainError::file("create", self.folder))?;
        let checkpoint = self.folder.join("checkpoint.safetensors");
        let metrics = self.folder.join("metrics.jsonl");
        let mut first = 0;
        if let Some(saved) = Checkpoint::load(&checkpoint, self.device)? {
            first = saved.step;
            let restored = learner.restore(&saved.tensors).and_then(|()| objective.restore(&saved.loss));
            restored.map_err(|error| error.of_file(&checkpoint))?;
        }
        let mut lines = cut_lines(&metrics, first)?;
        watch(first, None);
        let mut broken = 0;
        for step in first..self.steps {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let measured = learner.step(step, objective)?;
            writeln!(lines, "{}", line(step, &measured)).map_err(TrainError::file("write", &metrics))?;
            watch(step + 1, Some(&measured));
            let findings = objective.take_findings();
            if broken == 0 && !findings.is_empty() {
                (self.warn)(&format!("step {step}: {}", findings.join("; ")));
            }
            broken += u64::from(!findings.is_empty());
            let made = step + 1;
            if made % self.checkpoint_every == 0 || made == self.steps {
                // The lines must be on disk before a checkpoint says that they are.
                lines.sync_data().map_err(TrainError::file("write", &metrics))?;
                Checkpoint::save(&checkpoint, made, &objective.state()?, &learner.save())?;
            }
        }
        if broken > 1 {
            (self.warn)(&format!("an `assert` did not hold in {broken} of {} steps", self.steps - first));
        }
        Ok(())
    }
}

/// The line of a step. JSON has no NaN, so values that are not finite become `null`.
fn line(step: u64, measured: &Metrics) -> String {
    let mut fields = serde_json::Map::new();
    fields.insert("step".to_string(), step.into());
    fields.extend(measured.iter().map(|(key, value)| (key.clone(), (*value).into())));
    serde_json::Value::Object(fields).to_string()
}

/// Opens the metrics for appending after their first `count` lines; the steps of later lines will be made again.
fn cut_lines(path: &Path, count: u64) -> Result<File, TrainError> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(TrainError::file("open", path))?;
    let mut reader = BufReader::new(&file);
    let (mut length, mut line) = (0, Vec::new());
    for step in 0..count {
        line.clear();
        length += reader.read_until(b'\n', &mut line).map_err(TrainError::file("read", path))? as u64;
        if line.last() != Some(&b'\n') {
            return Err(TrainError::refused(format!(
                "`{}` has no line for step {step}, which its checkpoint says was made; delete that run's folder",
                path.display()
            )));
        }
    }
    drop(reader);
    file.set_len(length).map_err(TrainError::file("shorten", path))?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(TrainError::file("open", path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_the_checkpoint_are_cut_even_when_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":0}\n{\"step\":1}\n{\"step\":2}\n{\"st").unwrap();
        let mut file = cut_lines(&path, 2).unwrap();
        writeln!(file, "again").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":0}\n{\"step\":1}\nagain\n");
    }

    #[test]
    fn lines_that_the_checkpoint_promises_and_that_are_gone_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":0}\n").unwrap();
        assert!(cut_lines(&path, 2).err().unwrap().to_string().contains("no line for step 1"));
    }

    #[test]
    fn a_value_that_is_not_finite_is_null() {
        let measured = Metrics::from([("reward".to_string(), f64::NAN), ("length".to_string(), 2.5)]);
        assert_eq!(line(3, &measured), r#"{"step":3,"length":2.5,"reward":null}"#);
    }

    const SPEC: &str = "let policy = clip_ppo(low = 0.2, high = 0.2)
        let entropy = clamped_entropy(drop = 50%)
        controller beta = band(signal = token_mean(entropy), target = 0.5 .. 0.6, step = 1e-2, bounds = 1e-4 .. 0.1,
            init = 1e-2)
        loss = token_mean(policy) - beta * token_mean(entropy)
        metric clip_fraction = token_mean(policy.clipped)";

    /// Trains for 12 steps with a checkpoint every 4, and simulates kills after the steps in `kills`.
    fn files_after(kills: &[u64]) -> (String, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let changes = ["vocabulary=32", "width=8", "warmup_steps=3", "prompts=2", "group=4", "held_out=5"];
        let changes: Vec<_> = changes.iter().map(|change| change.split_once('=').unwrap()).collect();
        let changes: Vec<_> =
            changes.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let task = crate::tasks::named("arithmetic", None, &changes, Some(12)).unwrap();
        let probe = crate::tasks::Probe { kept: aent::rows::TokenSet::Drop(0.5), band: None };
        let start = crate::tasks::Start {
            seed: 3,
            case: "main",
            device: Device::Cpu,
            shared: folder.path(),
            probe,
            say: &|_| {},
        };
        tch::set_num_threads(1);
        for kill in kills.iter().copied().chain([u64::MAX]) {
            task.prepare(&start).unwrap();
            let mut learner = task.start(&start).unwrap();
            let mut objective = Objective::new(aent::compile(SPEC).unwrap());
            let stop = AtomicBool::new(false);
            let job = Job {
                folder: folder.path(),
                steps: 12,
                checkpoint_every: 4,
                device: Device::Cpu,
                stop: &stop,
                warn: &|_| {},
            };
            let watch = |made: u64, _: Option<&Metrics>| stop.store(made >= kill, Ordering::Relaxed);
            job.train(learner.as_mut(), &mut objective, watch).unwrap();
        }
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        (String::from_utf8(read("metrics.jsonl")).unwrap(), read("checkpoint.safetensors"))
    }

    #[test]
    fn a_killed_run_ends_with_the_numbers_of_one_that_was_not() {
        let (metrics, checkpoint) = files_after(&[]);
        assert_eq!(metrics.lines().count(), 12);
        let (killed, last) = files_after(&[2, 7, 8, 11]);
        assert_eq!(metrics, killed);
        assert!(checkpoint == last, "the last checkpoints differ");
    }
}
