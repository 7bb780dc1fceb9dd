//! The run folder: which run it belongs to, where files are, and a lock so that only one process writes it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::TrainError;
use crate::report::Run;
use crate::tasks::Conclusion;

/// An opened run folder.
pub(super) struct Folder {
    path: PathBuf,
    resumed: bool,
    main_case: String,
    /// Held while the folder is open; the system releases it when the process dies.
    _lock: File,
}

impl Folder {
    /// Opens a new folder, or one that contains the run described by `run`; refuses any other.
    pub(super) fn open(path: &Path, described: Described) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(TrainError::file("create", path))?;
        let lock = lock(path)?;
        let Described { run, main_case } = described;
        let file = path.join("run.json");
        let resumed = file.exists();
        if resumed {
            let text = fs::read_to_string(&file).map_err(TrainError::file("read", &file))?;
            let found: Run = serde_json::from_str(&text).map_err(|error| {
                TrainError::refused(format!("`{}` does not describe a run: {error}", file.display()))
            })?;
            if let Some(difference) = difference(&found, &run) {
                return Err(TrainError::refused(format!(
                    "`{}` holds another run: {difference}; choose another folder with `--out`, or delete this one",
                    path.display()
                )));
            }
        } else {
            refuse_foreign_files(path)?;
            write_run(&file, &run)?;
        }
        Ok(Folder { path: path.to_path_buf(), resumed, main_case, _lock: lock })
    }

    /// The folder's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the run had started before.
    pub(super) fn resumed(&self) -> bool {
        self.resumed
    }

    /// The folder of a run's metrics and checkpoint.
    pub(super) fn run(&self, case: &str, spec: &str, seed: u64) -> PathBuf {
        let base =
            if case == self.main_case { self.path.clone() } else { self.path.join("cases").join(case) };
        base.join(spec).join(format!("seed-{seed}"))
    }

    /// The folder that the specs share for a seed and case.
    pub(super) fn shared(&self, case: &str, seed: u64) -> PathBuf {
        self.path.join("shared").join(case).join(format!("seed-{seed}"))
    }

    /// Adds the task's conclusion to `run.json`.
    pub(super) fn conclude(&self, conclusion: Conclusion) -> Result<(), TrainError> {
        let file = self.path.join("run.json");
        let text = fs::read_to_string(&file).map_err(TrainError::file("read", &file))?;
        let mut run: Run =
            serde_json::from_str(&text).map_err(|error| TrainError::refused(error.to_string()))?;
        run.charts = conclusion.charts;
        run.findings = conclusion.findings;
        run.notes = conclusion.notes;
        write_run(&file, &run)
    }
}

/// The contents of `run.json`, and the case whose runs are in the specs' own folders.
pub(super) struct Described {
    /// The content of `run.json`.
    pub(super) run: Run,
    /// The first case of the task.
    pub(super) main_case: String,
}

fn write_run(file: &Path, run: &Run) -> Result<(), TrainError> {
    let text = serde_json::to_string_pretty(run).map_err(|error| TrainError::refused(error.to_string()))?;
    aent_files::write(file, text.as_bytes()).map_err(TrainError::file("write", file))
}

fn lock(path: &Path) -> Result<File, TrainError> {
    let file = path.join(".lock");
    let lock = File::create(&file).map_err(TrainError::file("create", &file))?;
    match lock.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(TrainError::refused(format!(
            "another `aent train` is writing `{}`; wait for it or choose another folder with `--out`",
            path.display()
        ))),
        // Some network file systems have no locks; then users must take care themselves.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(lock),
    }
}

fn refuse_foreign_files(path: &Path) -> Result<(), TrainError> {
    let entries = fs::read_dir(path).map_err(TrainError::file("read", path))?;
    // A kill may have left an unfinished `run.json`.
    let is_ours = |name: &OsStr| name == ".lock" || name.to_string_lossy().starts_with(aent_files::PREFIX);
    match entries.flatten().find(|entry| !is_ours(&entry.file_name())) {
        Some(entry) => Err(TrainError::refused(format!(
            "`{}` holds `{}` but no `run.json`, so it is not a run folder; choose another with `--out`",
            path.display(),
            entry.file_name().to_string_lossy()
        ))),
        None => Ok(()),
    }
}

/// The first difference between two runs, as a clause; mere descriptions do not count.
fn difference(found: &Run, wanted: &Run) -> Option<String> {
    let differs = |what: &str, found: &str, wanted: &str| {
        (found != wanted).then(|| format!("its {what} is `{found}`, not `{wanted}`"))
    };
    let names = |run: &Run| run.specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    differs("task", &found.task, &wanted.task)
        .or_else(|| differs("preset", &found.preset, &wanted.preset))
        .or_else(|| differs("list of specs", &names(found), &names(wanted)))
        .or_else(|| differs("list of seeds", &format!("{:?}", found.seeds), &format!("{:?}", wanted.seeds)))
        .or_else(|| differs("number of steps", &found.steps.to_string(), &wanted.steps.to_string()))
        .or_else(|| {
            let mut pairs = found.specs.iter().zip(&wanted.specs);
            let (changed, _) = pairs.find(|(found, wanted)| found.text != wanted.text)?;
            Some(format!("the text of the spec `{}` has changed since", changed.name))
        })
        .or_else(|| {
            let value = |run: &Run, name: &str| {
                run.settings
                    .iter()
                    .find(|(key, _)| key == name)
                    .map_or("absent", |(_, value)| value)
                    .to_string()
            };
            found.settings.iter().chain(&wanted.settings).find_map(|(name, _)| {
                differs(&format!("setting `{name}`"), &value(found, name), &value(wanted, name))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run::Spec;

    fn run() -> Run {
        let spec =
            Spec { name: "grpo".into(), text: "loss = token_mean(clip_ppo())".into(), ..Spec::default() };
        Run {
            task: "arithmetic".into(),
            seeds: vec![0, 1],
            steps: 10,
            specs: vec![spec],
            settings: vec![("learning_rate".into(), "0.1".into())],
            ..Run::default()
        }
    }

    fn open(path: &Path, run: Run) -> Result<Folder, TrainError> {
        Folder::open(path, Described { run, main_case: "main".into() })
    }

    #[test]
    fn the_same_run_is_resumed_and_another_is_refused_with_the_difference() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!open(folder.path(), run()).unwrap().resumed());
        assert!(open(folder.path(), run()).unwrap().resumed());
        let refused = |run: Run| open(folder.path(), run).err().unwrap().to_string();
        assert!(refused(Run { steps: 20, ..run() }).contains("its number of steps is `10`, not `20`"));
        assert!(
            refused(Run { seeds: vec![0], ..run() }).contains("its list of seeds is `[0, 1]`, not `[0]`")
        );
        let settings = vec![("learning_rate".to_string(), "0.2".to_string())];
        assert!(
            refused(Run { settings, ..run() }).contains("its setting `learning_rate` is `0.1`, not `0.2`")
        );
        let mut edited = run();
        edited.specs[0].text.push(' ');
        assert!(refused(edited).contains("the text of the spec `grpo` has changed since"));
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(open(folder.path(), run()).err().unwrap().to_string().contains("`thesis.tex`"));
        assert!(!folder.path().join("run.json").exists());
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _held = open(folder.path(), run()).unwrap();
        assert!(open(folder.path(), run()).err().unwrap().to_string().contains("another `aent train`"));
    }
}
