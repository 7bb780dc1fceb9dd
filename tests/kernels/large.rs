//! Rows as long as vocabularies are: sets by sorting, values and gradients in f64 from the formulas, rows read in chunks.

use aent::kernels::{KernelOptions, Kernels};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::rows::{self, SETS, all_moments, gradient, numbers, read, statistics};
use crate::{assert_close, naive};

/// What the logits of a long row are like.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Hardly two alike.
    Spread,
    /// Among so many values.
    Tied(u64),
    Constant,
    /// -10,000, 0 or 10,000.
    Far,
    /// One in so many is banned.
    Banned(u64),
    /// One far above the others.
    Peaked,
}

/// A row by its size, shape and seed: a vector of so many numbers would be shrunk one number at a time.
#[derive(Clone, Copy, Debug)]
struct Long {
    length: usize,
    shape: Shape,
    seed: u64,
}

impl Long {
    fn row(self) -> Vec<f64> {
        // Fibonacci hashing of the id: the same on every machine, and in no order.
        let noise = |id: u64| (id ^ self.seed << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let spread = |id: u64| noise(id) as f64 / (1u64 << 44) as f64 * 16.0 - 8.0;
        let logit = |id: u64| match self.shape {
            Shape::Tied(values) => (noise(id) % values) as f64 * 0.25 - 4.0,
            Shape::Constant => 0.5,
            Shape::Far => [-1e4, 0.0, 1e4][(noise(id) % 3) as usize],
            Shape::Banned(every) if id > 0 && noise(id).is_multiple_of(every) => f64::NEG_INFINITY,
            Shape::Peaked if id == self.length as u64 / 2 => 40.0,
            Shape::Spread | Shape::Banned(_) | Shape::Peaked => spread(id),
        };
        (0..self.length as u64).map(logit).collect()
    }
}

fn long() -> impl Strategy<Value = Long> {
    let shape = prop_oneof![
        3 => Just(Shape::Spread),
        2 => (1..200u64).prop_map(Shape::Tied),
        1 => Just(Shape::Constant),
        1 => Just(Shape::Far),
        2 => (2..5u64).prop_map(Shape::Banned),
        1 => Just(Shape::Peaked),
    ];
    // Evenly in the logarithm: short rows break in other ways than long ones.
    let length = (0.0..300_000f64.ln()).prop_map(|log| log.exp().round() as usize);
    let length = prop_oneof![8 => length, 1 => Just(300_000), 1 => Just(1)];
    (length, shape, 0..1000u64).prop_map(|(length, shape, seed)| Long { length, shape, seed })
}

/// A set whose border is somewhere that matters in a row of that length.
fn border(length: usize) -> impl Strategy<Value = TokenSet> {
    let count = length as i64;
    let near =
        prop::sample::select(vec![1, 2, count / 16, count / 16 + 1, count / 2, count - 1, count, count + 1]);
    prop_oneof![
        3 => near.prop_map(|k| TokenSet::TopK(k.max(1))),
        2 => (1..=count).prop_map(TokenSet::TopK),
        2 => prop_oneof![Just(0.3), Just(0.5 / length as f64), Just(1.0 - 0.5 / length as f64), 0.0..1.0f64]
            .prop_map(TokenSet::Drop),
        1 => (0.05..1.0f64).prop_map(TokenSet::MinP),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn long_rows_keep_what_sorting_keeps_and_sum_what_f64_sums(
        (long, set) in long().prop_flat_map(|long| (Just(long), border(long.length))),
        kind in prop::sample::select(vec![Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half]),
    ) {
        let row = [long.row()];
        let of = |statistic| RowStatistic::new(set, 1.0, statistic);
        let request = [of(Statistic::Size), of(Statistic::Entropy), of(Statistic::Mass), of(Statistic::LogProb), of(Statistic::Mean)];
        let exact = rows::rounded(&row, kind);
        // Summing so many numbers one by one, as the judge does, is itself off by some 1e-11.
        let tolerance = if kind == Kind::Double { 1e-10 } else { 1e-5 };
        let found = statistics(&row, &[0], &request, kind, Kernels::Auto);
        for (asked, found) in request.iter().zip(&found) {
            let scale = match (asked.statistic, long.shape) {
                (Statistic::Mean | Statistic::LogProb, Shape::Far) => 1e4,
                (Statistic::Mean | Statistic::LogProb, _) => 40.0,
                _ => 1.0,
            };
            assert_close(found[0], naive::value(&exact[0], 0, asked), scale, tolerance, &format!("{asked:?}"));
        }
        // The gradient of a log-sum-exp is zero outside the set alone, but for what underflows.
        let support = gradient(&row, &[0], &[1.0], &[of(Statistic::LogSumExp)], kind, Kernels::Auto);
        let plain = gradient(&row, &[0], &[1.0], &[of(Statistic::LogSumExp)], kind, Kernels::Reference);
        let members = naive::members(&exact[0], set, 1.0);
        for (id, (found, plain)) in support.iter().zip(&plain).enumerate() {
            prop_assert!(members[id] || *found == 0.0, "token {id} is outside");
            // Both round a number that is nearly the same, so they are at most one unit in the last place apart.
            let step = if kind == Kind::BFloat16 { 2f64.powi(-7) } else { 1e-3 };
            prop_assert!((found - plain).abs() <= step * plain.abs() + 1e-7, "token {id}: {plain}, found {found}");
        }
    }
}

#[test]
fn rows_that_are_read_a_few_at_a_time_give_the_same_bits() {
    let shape = Shape::Spread;
    let rows: Vec<f64> = (0..6).flat_map(|seed| Long { length: 5003, shape, seed }.row()).collect();
    let in_rows = Tensor::from_slice(&rows).to_kind(Kind::Float).view([2, 3, 5003]);
    let across = in_rows.transpose(1, 2).contiguous().transpose(1, 2);
    let actions = Tensor::from_slice(&[0i64, 5002, 77, 8, 4000, 1]).view([2, 3]);
    let mask = Tensor::from_slice(&[true, true, false, true, true, true]).view([2, 3]);
    let request: Vec<_> = SETS.into_iter().flat_map(|set| all_moments(set, 0.8)).collect();
    let run = |logits: &Tensor, chunk_bytes: usize| {
        let logits = logits.detach().set_requires_grad(true);
        let options = KernelOptions { chunk_bytes, ..KernelOptions::default() };
        let found = read([&logits, &actions, &mask], &request, &options).unwrap();
        let values = Tensor::stack(&found, 0);
        let weights = Tensor::arange(values.numel() as i64, (Kind::Float, Device::Cpu)).view_as(&values);
        (&values * weights).sum(None).backward();
        (numbers(&values), numbers(logits.grad()))
    };
    let expected = run(&in_rows, 1);
    assert!(expected.1.iter().any(|g| *g != 0.0));
    for chunk_bytes in [1, 2 * 5003 * 4, 1 << 30] {
        assert!(run(&across, chunk_bytes) == expected, "chunks of {chunk_bytes} bytes");
    }
}

#[test]
fn sixteen_bits_are_no_less_exact_than_plain_operations_in_sixteen_bits() {
    let row = [Long { length: 30_000, shape: Shape::Spread, seed: 5 }.row()];
    let of = |statistic| RowStatistic::new(TokenSet::All, 1.0, statistic);
    let request = [of(Statistic::LogProb), of(Statistic::Entropy)];
    for kind in [Kind::BFloat16, Kind::Half] {
        let exact = rows::rounded(&row, kind);
        let expected = statistics(&exact, &[7], &request, Kind::Double, Kernels::Reference);
        let slope = gradient(&exact, &[7], &[1.0, 0.5], &request, Kind::Double, Kernels::Reference);
        let found = statistics(&row, &[7], &request, kind, Kernels::Auto);
        let fused = gradient(&row, &[7], &[1.0, 0.5], &request, kind, Kernels::Auto);
        // As a trainer in that kind writes it.
        let logits = rows::tensor(&row, kind).set_requires_grad(true);
        let log_prob = logits.log_softmax(-1, None);
        let entropy = -(log_prob.exp() * &log_prob).sum_dim_intlist(-1, false, None);
        let chosen = log_prob.select(2, 7);
        (&chosen + &entropy * 0.5).sum(None).backward();
        let plain = [numbers(&chosen)[0], numbers(&entropy)[0]];
        for (at, plain) in plain.into_iter().enumerate() {
            let [ours, theirs] = [found[at][0], plain].map(|value| (value - expected[at][0]).abs());
            assert!(
                ours <= theirs,
                "{:?} in {kind:?}: off by {ours}, plain by {theirs}",
                request[at].statistic
            );
        }
        let off = |gradient: &[f64]| {
            gradient.iter().zip(&slope).map(|(found, exact)| (found - exact).powi(2)).sum::<f64>().sqrt()
        };
        let [ours, theirs] = [off(&fused), off(&numbers(logits.grad()))];
        assert!(ours <= theirs, "gradient in {kind:?}: off by {ours}, plain by {theirs}");
    }
}
