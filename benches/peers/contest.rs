//! What is measured against whom, in turns.

use crate::batch::{Batch, Entropy, Step};
use crate::peak;
use crate::settings::Settings;
use crate::table::{Range, median, table};
use crate::worker::{Peer, Worker};
use serde::Deserialize;
use std::path::Path;

/// How far our results may be from a peer's formula in f64, relative to that.
pub(crate) const OUR_TOLERANCE: f64 = 1e-5;
/// The same of the peer's results. torch's softmax over the kept tokens is 1.4e-5 away on a processor without AVX-512.
pub(crate) const PEER_TOLERANCE: f64 = 1e-4;

/// Ours, and those that compute the same.
pub(crate) struct Contest {
    entropy: Entropy,
    rivals: &'static [Rival],
}

struct Rival {
    title: &'static str,
    peer: Peer,
    /// How many times faster ours should be.
    goal: Option<f64>,
}

/// All of them.
pub(crate) const CONTESTS: [Contest; 3] = [
    Contest {
        entropy: Entropy::Clamped,
        rivals: &[
            rival("AReaL's AEnt recipe", "areal", false, Some(30.0)),
            rival("AReaL's AEnt recipe, `torch.compile` as published", "areal", true, None),
        ],
    },
    Contest {
        entropy: Entropy::Full,
        rivals: &[
            rival("verl's formulas", "verl", false, None),
            rival("verl's formulas, `torch.compile`", "verl", true, Some(4.0)),
            rival("TRL's formulas", "trl", false, None),
            rival("TRL's formulas, `torch.compile`", "trl", true, None),
        ],
    },
    Contest {
        entropy: Entropy::Likeliest,
        rivals: &[
            rival("`topk(1024)`", "likeliest", false, None),
            rival("`topk(1024)`, `torch.compile`", "likeliest", true, None),
        ],
    },
];

const fn rival(title: &'static str, formula: &'static str, compiled: bool, goal: Option<f64>) -> Rival {
    Rival { title, peer: Peer { formula, compiled }, goal }
}

#[derive(Deserialize)]
struct Checked {
    exact_loss: f64,
    loss: f64,
    /// How far our gradient is from that in f64: of the taken tokens, and of all others.
    driver: [f64; 2],
    /// The same of the peer's.
    peer: [f64; 2],
}

#[derive(Deserialize)]
struct Timed {
    seconds: f64,
}

impl Contest {
    /// Panics unless everybody computes the same. This also warms everybody up.
    pub(crate) fn check(&self, pair: &Pair, worker: &mut Worker, folder: &Path) {
        let ours = pair.kept.step(self.entropy);
        let over = pair.over(self.entropy);
        assert!(over.gradient.equal(&ours.gradient), "the gradient is the same wherever it is written");
        pair.kept.write_gradient(folder, &ours.gradient);
        for rival in self.rivals {
            let found: Checked = worker.ask("check", rival.peer);
            let off = |loss: f64| (loss - found.exact_loss).abs() / found.exact_loss.abs();
            for (whose, loss, [taken, others], tolerance) in [
                ("ours", ours.loss, found.driver, OUR_TOLERANCE),
                ("the peer's", found.loss, found.peer, PEER_TOLERANCE),
            ] {
                for (what, apart) in [("loss", off(loss)), ("taken tokens", taken), ("others", others)] {
                    // Written so that NaN is refused too.
                    assert!(
                        apart <= tolerance,
                        "{}: {what}: {whose} is {apart:e} away from f64",
                        rival.title
                    );
                }
            }
        }
    }

    /// A table of times and memory.
    pub(crate) fn measured(
        &self,
        pair: &Pair,
        worker: &mut Worker,
        folder: &Path,
        settings: &Settings,
    ) -> String {
        let (mut kept, mut over) = (Vec::new(), Vec::new());
        let mut theirs = vec![Vec::new(); self.rivals.len()];
        for _ in 0..settings.rounds {
            for (rival, times) in self.rivals.iter().zip(&mut theirs) {
                kept.push(pair.kept.step(self.entropy).seconds);
                times.push(worker.ask::<Timed>("time", rival.peer).seconds);
                over.push(pair.over(self.entropy).seconds);
            }
        }
        let memory = |bytes: Option<u64>| match bytes {
            Some(bytes) => format!("{:.3} ×", bytes as f64 / settings.bytes() as f64),
            None => "unknown".to_owned(),
        };
        let ours = |title: &str, times: &[f64], overwrites: bool| {
            let peak = peak::ours(self.entropy, overwrites, folder);
            [title.to_owned(), Range(times).to_string(), String::new(), memory(peak)]
        };
        let mut lines = vec![
            ours("`aent`", &kept, false),
            ours("`aent`, the gradient written over the logits", &over, true),
        ];
        for (rival, times) in self.rivals.iter().zip(&theirs) {
            let faster = |ours: &[f64]| median(times) / median(ours);
            let goal = rival.goal.map_or_else(String::new, |goal| format!("; goal {goal}×"));
            lines.push([
                rival.title.to_owned(),
                Range(times).to_string(),
                format!("{:.1}× ({:.1}×){goal}", faster(&kept), faster(&over)),
                memory(peak::theirs(rival.peer, worker, folder, settings)),
            ]);
        }
        let faster = "`aent` is faster (over the logits)";
        table([self.entropy.title(), "median (range)", faster, "peak beyond the logits"], &lines)
    }
}

/// The batch that everybody reads, and a copy of it that we may write to.
pub(crate) struct Pair {
    kept: Batch,
    given_up: Batch,
}

impl Pair {
    pub(crate) fn new(kept: Batch) -> Self {
        Self { given_up: kept.given_up(), kept }
    }

    /// A step that writes its gradient over the logits.
    fn over(&self, entropy: Entropy) -> Step {
        self.given_up.restore(&self.kept);
        self.given_up.step(entropy)
    }
}
