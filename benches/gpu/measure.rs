//! How long a step takes beside what memory allows and beside plain operations, as a table.

use std::time::Instant;

use aent::kernels::{KernelOptions, Kernels, RowInputs, Source, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::tensor::Tensor as Handle;
use tch::{Cuda, Device, Kind, Tensor};

use crate::rows::Batch;

/// How often each thing is timed; the table has the median.
const TIMES: usize = 15;

pub(crate) fn everything(device: Device, rows: i64, vocabulary: i64) {
    tch::manual_seed(0);
    println!(
        "| {rows} rows of {vocabulary} | forward ms | forward + backward ms | over the floor | plain ms |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for kind in [Kind::BFloat16, Kind::Float] {
        let batch = Batch::of_a_model(kind, rows, vocabulary, device);
        let copied = batch.logits.empty_like();
        let copy = median(device, || {
            let mut to = copied.shallow_clone();
            to.copy_(&batch.logits);
        });
        drop(copied);
        // A copy reads once and writes once; the floor reads twice and writes once.
        let floor = 1.5 * copy;
        println!("| {kind:?}: floor | {:.3} | {floor:.3} | 1.00 | |", copy / 2.0);
        for (name, request) in requests() {
            let compares = request.iter().any(|asked| asked.statistic.needs_reference());
            // The reference is read in both passes too.
            let floor = if compares { floor + copy } else { floor };
            let forward = median(device, || drop(read(&batch.logits, &batch, &request, Kernels::Auto)));
            let both = median(device, || step(&batch, &request, Kernels::Auto));
            // Plain operations hold several times the logits; where that is too much, they are not measured.
            let plain = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                median(device, || step(&batch, &request, Kernels::Reference))
            }));
            let plain = plain.map_or_else(|_| "out of memory".to_owned(), |plain| format!("{plain:.3}"));
            println!("| {kind:?}: {name} | {forward:.3} | {both:.3} | {:.2} | {plain} |", both / floor);
        }
    }
}

fn requests() -> Vec<(&'static str, Vec<RowStatistic>)> {
    let of = |set, statistic| RowStatistic::new(set, 1.0, statistic);
    let log_prob = of(TokenSet::All, Statistic::LogProb);
    let with_entropy = |set| vec![log_prob, of(set, Statistic::Entropy)];
    vec![
        ("log-prob", vec![log_prob]),
        ("log-prob, entropy", with_entropy(TokenSet::All)),
        ("log-prob, entropy without the lowest 30%", with_entropy(TokenSet::Drop(0.3))),
        ("log-prob, entropy of the top 1024", with_entropy(TokenSet::TopK(1024))),
        ("log-prob, entropy of the top 95% of mass", with_entropy(TokenSet::TopP(0.95))),
        ("log-prob, entropy of at least 1% of the likeliest", with_entropy(TokenSet::MinP(0.01))),
        ("log-prob, reverse KL", vec![log_prob, of(TokenSet::All, Statistic::ReverseKl)]),
        ("log-prob, Jensen-Shannon", vec![log_prob, of(TokenSet::All, Statistic::JensenShannon(0.5))]),
    ]
}

fn read(logits: &Tensor, batch: &Batch, request: &[RowStatistic], kernels: Kernels) -> Vec<Handle> {
    let [logits, reference, actions, mask] =
        [logits, &batch.reference, &batch.actions, &batch.mask].map(Handle::from);
    let inputs = RowInputs {
        fields: &[],
        policy: Source::Logits(&logits),
        references: &[(None, Source::Logits(&reference))],
        actions: &actions,
        mask: &mask,
    };
    row_statistics(&inputs, request, &KernelOptions::from(kernels)).expect("the batch fits the request")
}

fn step(batch: &Batch, request: &[RowStatistic], kernels: Kernels) {
    let logits = batch.logits.detach().set_requires_grad(true);
    let found = read(&logits, batch, request, kernels);
    let loss = found.iter().map(Handle::sum).reduce(|sum, more| sum + more);
    loss.expect("something is asked for").backward().expect("the logits want a gradient");
}

/// Milliseconds of one call, the device's work included.
fn median(device: Device, mut work: impl FnMut()) -> f64 {
    let wait = || {
        if let Device::Cuda(index) = device {
            Cuda::synchronize(index as i64);
        }
    };
    // Kernels are compiled and memory is set aside first.
    (0..3).for_each(|_| work());
    wait();
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            work();
            wait();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}
