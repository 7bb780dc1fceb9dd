//! Shows progress: one bar per spec with reward and entropy, or plain lines every few seconds without a terminal.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::runner::schedule::Plan;
use crate::tasks::Metrics;

const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// The progress display, shared by the workers.
pub(super) struct Progress {
    bars: Vec<Bar>,
    /// Messages go above the bars.
    screen: MultiProgress,
    /// When the last plain line was written; `None` if there are bars or nothing is shown.
    lines: Option<Mutex<Instant>>,
}

struct Bar {
    name: String,
    bar: ProgressBar,
}

impl Progress {
    /// A display for the plan.
    pub(super) fn new(plan: &Plan, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let screen = MultiProgress::with_draw_target(target);
        let width = plan.specs.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
        let bars = plan.specs.iter().map(|spec| {
            let bar = ProgressBar::new(plan.runs_of_a_spec() as u64 * plan.steps).with_style(style());
            bar.set_prefix(format!("{:width$}", spec.name));
            Bar { name: spec.name.clone(), bar: screen.add(bar) }
        });
        let bars = bars.collect();
        let lines = (!terminal && !quiet).then(|| Mutex::new(Instant::now()));
        Progress { bars, screen, lines }
    }

    /// Records that a run of the spec made `steps` more steps.
    pub(super) fn advance(&self, spec: usize, seed: u64, steps: u64, metrics: Option<&Metrics>) {
        let Bar { name, bar } = &self.bars[spec];
        bar.inc(steps);
        let Some(metrics) = metrics else { return };
        let values = ["reward", "entropy", "coefficient"].iter().filter_map(|key| {
            let value = metrics.get(*key)?;
            Some(if *key == "coefficient" {
                format!("{key} {value:.1e}")
            } else {
                format!("{key} {value:.3}")
            })
        });
        let live = format!("seed {seed}  {}", values.collect::<Vec<_>>().join("  "));
        bar.set_message(live.clone());
        if let Some(last) = &self.lines {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= BETWEEN_LINES {
                *last = Instant::now();
                self.print(&format!("{name} {}/{}  {live}", bar.position(), bar.length().unwrap_or(0)));
            }
        }
    }

    /// Shows a sentence above the bars.
    pub(super) fn say(&self, sentence: &str) {
        if self.lines.is_some() {
            self.print(sentence);
        } else {
            // A hidden screen shows nothing, and a failed write to it does not matter to training.
            let _ = self.screen.println(sentence);
        }
    }

    /// Shows a warning above the bars, or without a display by itself.
    pub(super) fn warn(&self, sentence: &str) {
        if self.screen.is_hidden() {
            self.print(sentence);
        } else {
            self.say(sentence);
        }
    }

    /// Leaves the bars as they are.
    pub(super) fn finish(&self) {
        for Bar { bar, .. } in &self.bars {
            bar.abandon();
        }
    }

    #[expect(clippy::unused_self, reason = "a display prints, whatever it is made of")]
    fn print(&self, line: &str) {
        // A failing display is no reason to stop a run.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {elapsed} (eta {eta})  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
