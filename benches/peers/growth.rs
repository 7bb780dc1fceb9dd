//! How our time grows with the vocabulary and with the rows.

use crate::batch::{Batch, Entropy};
use crate::settings::{SEQUENCES, Settings};
use crate::table::{median, table};
use tch::{Device, Kind, Tensor};

/// What is drawn against.
const ENTROPIES: [Entropy; 2] = [Entropy::Full, Entropy::Clamped];

/// Sizes that differ in one thing.
pub(crate) struct Series {
    title: &'static str,
    /// Rows and vocabulary.
    sizes: Vec<[i64; 2]>,
}

/// The vocabulary grows while the logits stay as many; the rows grow alone.
pub(crate) fn series(settings: &Settings) -> [Series; 2] {
    let (logits, vocabulary) = if settings.quick { (1 << 16, 256) } else { (1 << 25, 1 << 15) };
    let vocabularies = if settings.quick {
        vec![256, 1024]
    } else {
        vec![1 << 10, 1 << 12, 1 << 14, 1 << 16, 151_936, 1 << 18]
    };
    let rows = |vocabulary: i64| logits / vocabulary / SEQUENCES * SEQUENCES;
    let counts = if settings.quick { vec![16, 64] } else { vec![16, 64, 256, 1024, 4096] };
    [
        Series {
            title: "Growth with the vocabulary, the logits being as many",
            sizes: vocabularies.into_iter().map(|vocabulary| [rows(vocabulary), vocabulary]).collect(),
        },
        Series {
            title: "Growth with the rows",
            sizes: counts.into_iter().map(|rows| [rows, vocabulary]).collect(),
        },
    ]
}

impl Series {
    /// A table of the time of a logit, which is the same everywhere where growth is linear.
    pub(crate) fn measured(&self, settings: &Settings) -> String {
        let most = self.sizes.iter().map(|[rows, vocabulary]| rows * vocabulary).max().unwrap_or(0);
        tch::manual_seed(0);
        let logits = Tensor::empty([most], (Kind::Float, Device::Cpu)).normal_(0.0, 3.0);
        let batch = |&[rows, vocabulary]: &[i64; 2]| {
            let part = logits.narrow(0, 0, rows * vocabulary);
            Batch::with_logits(part.view([SEQUENCES, rows / SEQUENCES, vocabulary]))
        };
        let batches: Vec<Batch> = self.sizes.iter().map(batch).collect();
        let times = ENTROPIES.map(|entropy| medians(&batches, entropy, settings.rounds));
        let apart = times
            .each_ref()
            .map(|times| times.iter().map(|time| time / median(times) - 1.0).collect::<Vec<_>>());
        let cell = |of: usize, index: usize| {
            format!("{:.2} ns ({:+.0}%)", times[of][index] * 1e9, apart[of][index] * 100.0)
        };
        let line = |(index, [rows, vocabulary]): (usize, &[i64; 2])| {
            [rows.to_string(), vocabulary.to_string(), cell(0, index), cell(1, index)]
        };
        let lines: Vec<_> = self.sizes.iter().enumerate().map(line).collect();
        let most = apart.iter().flatten().fold(0.0, |most: f64, apart| most.max(apart.abs()));
        let [first, second] = ENTROPIES.map(Entropy::title);
        format!(
            "{}: the time of a logit, and how far it is from the median of its column, at most {:.0}% (goal: 15%).\n\n{}",
            self.title,
            most * 100.0,
            table(["rows", "V", first, second], &lines)
        )
    }
}

/// The seconds of a logit in each batch, taken in turns.
fn medians(batches: &[Batch], entropy: Entropy, rounds: usize) -> Vec<f64> {
    let mut times = vec![Vec::new(); batches.len()];
    // The first round only warms up.
    for round in 0..=rounds {
        for (batch, times) in batches.iter().zip(&mut times) {
            let seconds = of_a_logit(batch, entropy);
            if round > 0 {
                times.push(seconds);
            }
        }
    }
    times.iter().map(|times| median(times)).collect()
}

/// Small batches are run often enough for the clock.
fn of_a_logit(batch: &Batch, entropy: Entropy) -> f64 {
    let times = (1_usize << 24).div_ceil(batch.count()).min(16);
    let seconds: f64 = (0..times).map(|_| batch.step(entropy).seconds).sum();
    seconds / (times * batch.count()) as f64
}
