//! Reads the rewards of all runs in a folder, for the charts and the findings.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::TrainError;
use crate::report::{Interval, Run};

/// The reward at each step of each seed, by the number of optimal actions and the spec.
pub(super) struct Curves {
    /// The specs' names, in the run's order.
    pub(super) specs: Vec<String>,
    /// The numbers of optimal actions, in the run's order.
    pub(super) optimal: Vec<i64>,
    rewards: BTreeMap<(i64, String), Vec<Vec<f64>>>,
}

impl Curves {
    /// Reads a run folder.
    pub(super) fn read(folder: &Path, optimal: &[i64]) -> Result<Self, TrainError> {
        let file = folder.join("run.json");
        let text = fs::read_to_string(&file).map_err(TrainError::file("read", &file))?;
        let run: Run = serde_json::from_str(&text).map_err(|error| TrainError::refused(error.to_string()))?;
        let mut rewards = BTreeMap::new();
        for (index, n) in optimal.iter().enumerate() {
            let base: PathBuf =
                if index == 0 { folder.to_path_buf() } else { folder.join("cases").join(super::case(*n)) };
            for spec in &run.specs {
                let of_seed =
                    |seed| reward(&base.join(&spec.name).join(format!("seed-{seed}/metrics.jsonl")));
                let seeds: Result<Vec<_>, _> = run.seeds.iter().map(of_seed).collect();
                rewards.insert((*n, spec.name.clone()), seeds?);
            }
        }
        let specs = run.specs.into_iter().map(|spec| spec.name).collect();
        Ok(Curves { specs, optimal: optimal.to_vec(), rewards })
    }

    /// Curves with the given rewards for a single number of optimal actions, one for each spec and seed.
    #[cfg(test)]
    pub(super) fn of(n: i64, rewards: &[(&str, Vec<Vec<f64>>)]) -> Self {
        Curves {
            specs: rewards.iter().map(|(spec, _)| (*spec).to_string()).collect(),
            optimal: vec![n],
            rewards: rewards.iter().map(|(spec, seeds)| ((n, (*spec).to_string()), seeds.clone())).collect(),
        }
    }

    /// The rewards of a spec's seeds.
    pub(super) fn seeds(&self, n: i64, spec: &str) -> &[Vec<f64>] {
        self.rewards.get(&(n, spec.to_string())).map_or(&[], Vec::as_slice)
    }

    /// The number of steps made.
    pub(super) fn steps(&self) -> usize {
        self.rewards.values().flatten().map(Vec::len).min().unwrap_or(0)
    }

    /// The reward at a step, over seeds.
    pub(super) fn at(&self, n: i64, spec: &str, step: usize) -> Option<Interval> {
        Interval::over(&self.seeds(n, spec).iter().map(|seed| seed[step]).collect::<Vec<_>>())
    }

    /// The difference of one spec to another at a step, over seeds, paired by seed.
    pub(super) fn gain(&self, n: i64, spec: &str, over: &str, step: usize) -> Option<Interval> {
        let pairs = self.seeds(n, spec).iter().zip(self.seeds(n, over));
        Interval::over(&pairs.map(|(more, less)| more[step] - less[step]).collect::<Vec<_>>())
    }
}

fn reward(path: &Path) -> Result<Vec<f64>, TrainError> {
    #[derive(Deserialize)]
    struct Line {
        reward: f64,
    }
    let text = fs::read_to_string(path).map_err(TrainError::file("read", path))?;
    let lines = text.lines().map(serde_json::from_str::<Line>);
    let rewards: Result<Vec<f64>, _> = lines.map(|line| line.map(|line| line.reward)).collect();
    rewards.map_err(|error| TrainError::refused(format!("`{}`: {error}", path.display())))
}
