//! Forward and backward of the row statistics of a whole vocabulary: the fused kernels beside plain operations.

use std::hint::black_box;
use std::time::Duration;

use aent::kernels::{Kernels, RowInputs, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};

const ROWS: i64 = 256;
const VOCABULARY: i64 = 151_936;

/// Logits, actions and a mask of valid rows only.
struct Batch {
    logits: Tensor,
    actions: Tensor,
    mask: Tensor,
}

impl Batch {
    fn new(kind: Kind) -> Self {
        tch::manual_seed(0);
        Self {
            logits: (Tensor::randn([4, ROWS / 4, VOCABULARY], (Kind::Float, Device::Cpu)) * 3.0)
                .to_kind(kind)
                .set_requires_grad(true),
            actions: Tensor::randint(VOCABULARY, [4, ROWS / 4], (Kind::Int64, Device::Cpu)),
            mask: Tensor::ones([4, ROWS / 4], (Kind::Bool, Device::Cpu)),
        }
    }

    fn step(&mut self, set: TokenSet, kernels: Kernels) {
        let of = |set, statistic| RowStatistic::new(set, 1.0, statistic);
        let request = [of(TokenSet::All, Statistic::LogProb), of(set, Statistic::Entropy)];
        let [logits, actions, mask] = [&self.logits, &self.actions, &self.mask].map(Into::into);
        let found = row_statistics(&RowInputs::new(&logits, &actions, &mask), &request, &kernels.into())
            .expect("the batch fits the request");
        let loss = &found[0] + &found[1] * 0.01;
        loss.sum().backward().expect("the logits want a gradient");
        // A step of training drops the gradient, and the next one is written to memory of its own.
        drop(black_box(self.logits.grad()));
        self.logits = self.logits.detach().set_requires_grad(true);
    }
}

fn row_statistics_of_a_vocabulary(criterion: &mut Criterion) {
    let mut batch = Batch::new(Kind::Float);
    for (name, set) in
        [("full entropy", TokenSet::All), ("entropy without the lowest 30%", TokenSet::Drop(0.3))]
    {
        let title = format!("log-prob and {name}, {ROWS} rows of {VOCABULARY}, f32");
        let mut group = criterion.benchmark_group(title);
        group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
        for (name, kernels) in [("fused", Kernels::Auto), ("plain", Kernels::Reference)] {
            group.bench_function(name, |bencher| bencher.iter(|| batch.step(set, kernels)));
        }
        group.finish();
    }
}

criterion_group!(benches, row_statistics_of_a_vocabulary);
criterion_main!(benches);
