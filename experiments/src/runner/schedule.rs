//! Plans the runs, and trains them in worker threads.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use aent::program::ParamValue;
use tch::Device;

use crate::error::TrainError;
use crate::report::Run;
use crate::report::run::Spec;
use crate::runner::folder::{Described, Folder};
use crate::runner::job::Job;
use crate::runner::objective::Objective;
use crate::runner::options::TrainOptions;
use crate::runner::probe::probe;
use crate::runner::progress::Progress;
use crate::runner::spec::SpecFile;
use crate::tasks::{Probe, Start, Task};

/// Everything to be trained.
pub(super) struct Plan {
    /// The specs, in the order of the command line.
    pub(super) specs: Vec<SpecFile>,
    /// The seeds.
    pub(super) seeds: Vec<u64>,
    /// The task's cases.
    pub(super) cases: Vec<String>,
    /// Global steps of each run.
    pub(super) steps: u64,
    overrides: Vec<(String, ParamValue)>,
    device: Device,
    jobs: usize,
    probe: Probe,
}

impl Plan {
    /// Reads the specs and refuses those that cannot be trained, before anything is written.
    pub(super) fn new(options: &TrainOptions, task: &dyn Task) -> Result<Self, TrainError> {
        if options.specs.is_empty() {
            return Err(TrainError::refused("expected at least one spec"));
        }
        let mut specs: Vec<SpecFile> = Vec::new();
        for path in &options.specs {
            let spec = SpecFile::read(path, &options.overrides, &options.allowed_imports)?;
            if let Some(twin) = specs.iter().find(|other| other.name == spec.name) {
                return Err(TrainError::refused(format!(
                    "`{}` and `{}` would both be reported as `{}`; rename one",
                    twin.path.display(),
                    path.display(),
                    spec.name
                )));
            }
            specs.push(spec);
        }
        for (name, _) in &options.overrides {
            if !specs.iter().any(|spec| spec.takes(name)) {
                return Err(TrainError::refused(format!("no spec has a `param {name}` to set")));
            }
        }
        let mut programs = Vec::new();
        for spec in &specs {
            let program = spec.compile()?;
            spec.check_fields(&program, task)?;
            programs.push(program);
        }
        let seeds = options.seeds.clone().unwrap_or_else(|| (0..task.seeds()).collect());
        let steps = task.steps();
        if seeds.is_empty() || steps == 0 {
            return Err(TrainError::refused("expected at least one seed and one step"));
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut plan = Plan {
            probe: probe(&programs),
            specs,
            seeds,
            cases: task.cases(),
            steps,
            overrides: options.overrides.clone(),
            device: options.device,
            // Any other device is a single one: runs on it would only wait for each other.
            jobs: if options.device == Device::Cpu { options.jobs.unwrap_or(cores).max(1) } else { 1 },
        };
        plan.jobs = plan.jobs.min(plan.runs());
        Ok(plan)
    }

    /// The number of runs.
    pub(super) fn runs(&self) -> usize {
        self.specs.len() * self.runs_of_a_spec()
    }

    /// The number of runs of each spec.
    pub(super) fn runs_of_a_spec(&self) -> usize {
        self.seeds.len() * self.cases.len()
    }

    /// The contents of `run.json` before the first step.
    pub(super) fn describe(&self, options: &TrainOptions, task: &dyn Task) -> Described {
        let mut settings = task.settings();
        settings.push(("device".to_string(), format!("{:?}", self.device).to_lowercase()));
        settings
            .extend(self.overrides.iter().map(|(name, value)| (format!("param {name}"), value.to_string())));
        let specs = self.specs.iter().map(|spec| Spec {
            name: spec.name.clone(),
            path: spec.path.display().to_string(),
            text: spec.text.clone(),
            summary: spec.summary(),
        });
        let mut series = task.series();
        if let Some(band) = self.probe.band {
            for series in series.iter_mut().filter(|series| series.key == "clamped_entropy") {
                series.band = Some(self.specs.iter().map(|spec| (spec.name.clone(), band)).collect());
            }
        }
        let run = Run {
            task: task.name().to_string(),
            title: format!("{} · {}", task.name(), self.names().join(" · ")),
            preset: options.preset.clone().unwrap_or_default(),
            created: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
            seeds: self.seeds.clone(),
            steps: self.steps,
            command: options.command.clone(),
            settings,
            specs: specs.collect(),
            series,
            ..Run::default()
        };
        Described { run, main_case: self.cases.first().cloned().unwrap_or_default() }
    }

    fn names(&self) -> Vec<&str> {
        self.specs.iter().map(|spec| spec.name.as_str()).collect()
    }

    /// All errands, with each seed's preparation first, so that workers wait little.
    fn errands(&self) -> Vec<Errand> {
        let mut errands = Vec::new();
        for case in 0..self.cases.len() {
            for seed in 0..self.seeds.len() {
                errands.push(Errand { case, seed, spec: None, begun: false });
                errands.extend((0..self.specs.len()).map(|spec| Errand {
                    case,
                    seed,
                    spec: Some(spec),
                    begun: false,
                }));
            }
        }
        errands
    }
}

/// Prepares every seed and case and trains every run, several at a time.
pub(super) fn run(
    plan: &Plan,
    task: &dyn Task,
    folder: &Folder,
    progress: &Progress,
) -> Result<(), TrainError> {
    let board = Board {
        state: Mutex::new(State { errands: plan.errands(), prepared: Vec::new(), failure: None }),
        changed: Condvar::new(),
        stop: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for _ in 0..plan.jobs {
            scope.spawn(|| {
                if plan.device == Device::Cpu {
                    // One thread per run: sums, and with them all numbers, must not depend on the number of cores.
                    tch::set_num_threads(1);
                }
                while let Some(errand) = board.take() {
                    board.report(errand, errand.run(plan, task, folder, progress, &board.stop));
                }
            });
        }
    });
    match board.lock().failure.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// A worker's errand: prepare a seed (without a spec), or train a run.
#[derive(Clone, Copy)]
struct Errand {
    case: usize,
    seed: usize,
    spec: Option<usize>,
    begun: bool,
}

impl Errand {
    fn run(
        self,
        plan: &Plan,
        task: &dyn Task,
        folder: &Folder,
        progress: &Progress,
        stop: &AtomicBool,
    ) -> Result<(), TrainError> {
        let (case, seed) = (&plan.cases[self.case], plan.seeds[self.seed]);
        let shared = folder.shared(case, seed);
        let say = |what: &str| progress.say(&format!("seed {seed}: {what}"));
        let start = Start { seed, case, device: plan.device, shared: &shared, probe: plan.probe, say: &say };
        let Some(index) = self.spec else {
            fs::create_dir_all(&shared).map_err(TrainError::file("create", &shared))?;
            return task.prepare(&start);
        };
        let spec = &plan.specs[index];
        let mut objective = Objective::new(spec.compile()?);
        let mut learner = task.start(&start)?;
        let run = folder.run(case, &spec.name, seed);
        let job = Job {
            folder: &run,
            steps: plan.steps,
            checkpoint_every: task.checkpoint_every(),
            device: plan.device,
            stop,
            warn: &|what| progress.warn(&format!("warning: {}, seed {seed}: {what}", spec.name)),
        };
        let mut told = 0;
        job.train(learner.as_mut(), &mut objective, |made, metrics| {
            progress.advance(index, seed, made - told, metrics);
            told = made;
        })
    }
}

/// The remaining errands, shared by the workers.
struct Board {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

struct State {
    errands: Vec<Errand>,
    prepared: Vec<(usize, usize)>,
    failure: Option<TrainError>,
}

impl Board {
    /// The next errand whose seed is prepared; waits for one, and returns `None` if nothing is left.
    fn take(&self) -> Option<Errand> {
        let mut state = self.lock();
        loop {
            let State { errands, prepared, failure } = &mut *state;
            if failure.is_some() || errands.iter().all(|errand| errand.begun) {
                return None;
            }
            let ready = errands.iter_mut().find(|errand| {
                !errand.begun && (errand.spec.is_none() || prepared.contains(&(errand.case, errand.seed)))
            });
            if let Some(errand) = ready {
                errand.begun = true;
                return Some(*errand);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn report(&self, errand: Errand, result: Result<(), TrainError>) {
        let mut state = self.lock();
        match result {
            Ok(()) if errand.spec.is_none() => state.prepared.push((errand.case, errand.seed)),
            Ok(()) => {}
            Err(error) => {
                self.stop.store(true, Ordering::Relaxed);
                state.failure.get_or_insert(error);
            }
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
