//! The fused kernels against the plain ones, and what only they could get wrong: threads, layouts, large rows.

use aent::kernels::{KernelOptions, Kernels};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::rows::{self, SETS, all_moments, gradient, numbers, read, spread_rows, statistics, tensor};
use crate::{assert_close, naive};

/// A batch, what is asked of it, and how much each statistic of each row counts.
#[derive(Debug)]
struct Case {
    rows: Vec<Vec<f64>>,
    actions: Vec<i64>,
    mask: Vec<bool>,
    request: Vec<RowStatistic>,
    cotangents: Vec<f64>,
}

fn case() -> impl Strategy<Value = Case> {
    let shape = (prop_oneof![1 => Just(1usize), 4 => 2..50usize, 1 => 500..3000usize], 1..4usize, 1..6usize);
    shape.prop_flat_map(|(length, count, asked)| {
        let spoiled = (rows::row(length), prop::sample::select(vec![f64::NAN, f64::INFINITY]), 0..length);
        let spoiled = spoiled.prop_map(|(mut row, by, at)| {
            row[at] = by;
            row
        });
        let banned = Just(vec![f64::NEG_INFINITY; length]);
        let row = prop_oneof![12 => rows::row(length), 1 => spoiled, 1 => banned];
        let statistic = (rows::set(length), prop::sample::select(vec![1.0, 0.5, 3.0]));
        let statistic = (statistic, prop::sample::select(Statistic::OF_POLICY.to_vec()))
            .prop_map(|((set, temperature), statistic)| RowStatistic::new(set, temperature, statistic));
        (
            prop::collection::vec(row, count),
            prop::collection::vec(0..length as i64, count),
            prop::collection::vec(prop::bool::weighted(0.8), count),
            prop::collection::vec(statistic, asked),
            prop::collection::vec(prop_oneof![3 => -2.0..2.0f64, 1 => Just(0.0)], asked * count),
        )
            .prop_map(|(rows, actions, mask, request, cotangents)| Case {
                rows,
                actions,
                mask,
                request,
                cotangents,
            })
    })
}

/// Values of all statistics, and the gradient.
fn run(case: &Case, kind: Kind, kernels: Kernels) -> (Vec<f64>, Vec<f64>) {
    let logits = tensor(&case.rows, kind).set_requires_grad(true);
    let actions = Tensor::from_slice(&case.actions).view([1, -1]);
    let mask = Tensor::from_slice(&case.mask).view([1, -1]);
    let found = read([&logits, &actions, &mask], &case.request, &kernels.into()).unwrap();
    let values = Tensor::stack(&found, 0);
    let cotangents = Tensor::from_slice(&case.cotangents).view_as(&values).to_kind(values.kind());
    // Through `where` rather than a product with zero: NaN of a spoiled row stays in its row.
    let terms = (&values * &cotangents).where_self(&cotangents.ne(0.0), &values.zeros_like());
    let loss = terms.sum(None);
    if loss.requires_grad() {
        loss.backward();
    }
    let gradient = logits.grad();
    let gradient = if gradient.defined() { numbers(&gradient) } else { vec![0.0; logits.numel()] };
    (numbers(&values), gradient)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn fused_equals_plain(case in case()) {
        for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5), (Kind::BFloat16, 1e-5), (Kind::Half, 1e-5)] {
            let (values, gradient) = run(&case, kind, Kernels::Auto);
            let (plain_values, plain_gradient) = run(&case, kind, Kernels::Reference);
            let largest = |row: &[f64]| row.iter().filter(|x| x.is_finite()).fold(1.0, |most: f64, x| most.max(x.abs()));
            let logits = largest(&case.rows.concat());
            for (index, (found, expected)) in values.iter().zip(&plain_values).enumerate() {
                let asked = &case.request[index / case.rows.len()];
                let scale = match asked.statistic {
                    Statistic::Entropy | Statistic::Mass | Statistic::Size => 1.0,
                    Statistic::SecondMoment | Statistic::Variance => (logits / asked.temperature).powi(2),
                    _ => logits / asked.temperature,
                };
                assert_close(*found, *expected, scale, tolerance, &format!("{asked:?} in {kind:?}"));
            }
            // The gradient is rounded once to its kind, and plain operations round each term of it before.
            let step = match kind {
                Kind::BFloat16 => 2f64.powi(-8),
                Kind::Half => 2f64.powi(-10),
                _ => tolerance,
            };
            let squares = [Statistic::SecondMoment, Statistic::Variance];
            let is_square = case.request.iter().any(|asked| squares.contains(&asked.statistic));
            let scale = 2.0 * if is_square { 4.0 * logits * logits } else { logits };
            for (index, (found, expected)) in gradient.iter().zip(&plain_gradient).enumerate() {
                let row = index / case.rows[0].len();
                if plain_values.iter().skip(row).step_by(case.rows.len()).any(|value| value.is_nan()) {
                    continue;
                }
                assert_close(*found, *expected, scale * tolerance / step, step, &format!("gradient in {kind:?}"));
            }
        }
    }
}

/// A row that is long enough for the border to be guessed from a sample, in which each value comes many times.
fn long_row(length: usize, values: u64) -> Vec<f64> {
    // Fibonacci hashing of the id: the same on every machine, and in no order.
    (0..length as u64)
        .map(|id| {
            ((id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % values) as f64 * 16.0 / values as f64 - 8.0
        })
        .collect()
}

#[test]
fn every_rank_of_a_long_row_keeps_what_sorting_keeps() {
    let length = 9001;
    let all_but_lowest = 1.0 - 0.5 / length as f64;
    for values in [1, 3, 700, 1 << 24] {
        let row = long_row(length, values);
        let mut sets: Vec<_> = [1, 2, 37, 4500, 8999, 9000].into_iter().map(TokenSet::TopK).collect();
        sets.extend([0.3, 0.0001, 0.9, all_but_lowest].map(TokenSet::Drop));
        sets.extend([0.2, 0.95].map(TokenSet::TopP));
        for set in sets {
            let request = [
                RowStatistic::new(set, 1.0, Statistic::Size),
                RowStatistic::new(set, 1.0, Statistic::LogSumExp),
            ];
            let rows = std::slice::from_ref(&row);
            for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
                let exact = &rows::rounded(rows, kind)[0];
                let members = naive::members(exact, set, 1.0);
                let size = members.iter().filter(|member| **member).count() as f64;
                let found = statistics(rows, &[0], &request, kind, Kernels::Auto)[0][0];
                assert_eq!(found, size, "{set:?} of {values} values in {kind:?}");
                let gradient = gradient(rows, &[0], &[0.0, 1.0], &request, kind, Kernels::Auto);
                let kept: Vec<bool> = gradient.iter().map(|g| *g != 0.0).collect();
                assert!(kept == members, "{set:?} of {values} values in {kind:?}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let rows: Vec<_> = (0..13).map(|row| long_row(9001, 500 + row)).collect();
    let request: Vec<_> = SETS.into_iter().flat_map(|set| all_moments(set, 0.9)).collect();
    let case = Case {
        actions: (0..13).collect(),
        mask: (0..13).map(|row| row % 5 != 3).collect(),
        cotangents: (0..13 * request.len()).map(|i| (i as f64).sin()).collect(),
        request,
        rows,
    };
    let threads = tch::get_num_threads();
    tch::set_num_threads(1);
    let one = run(&case, Kind::Float, Kernels::Auto);
    tch::set_num_threads(4);
    let four = run(&case, Kind::Float, Kernels::Auto);
    tch::set_num_threads(threads);
    assert!(one == four);
}

#[test]
fn any_layout_of_the_logits_is_read() {
    let contiguous = Tensor::from_slice(&long_row(2 * 3 * 7, 1 << 20)).view([2, 3, 7]).to_kind(Kind::Float);
    let actions = Tensor::from_slice(&[0i64, 6, 3, 2, 5, 1]).view([2, 3]);
    let mask = Tensor::from_slice(&[true, true, false, true, true, true]).view([2, 3]);
    let request = all_moments(TokenSet::TopK(4), 1.0);
    let padded = Tensor::zeros([2, 5, 9], (Kind::Float, Device::Cpu));
    padded.narrow(1, 1, 3).narrow(2, 2, 7).copy_(&contiguous);
    let layouts: [(&str, Tensor); 4] = [
        ("contiguous", contiguous.shallow_clone()),
        ("a slice", padded.narrow(1, 1, 3).narrow(2, 2, 7)),
        ("transposed rows", contiguous.transpose(0, 1).contiguous().transpose(0, 1)),
        ("transposed tokens", contiguous.transpose(1, 2).contiguous().transpose(1, 2)),
    ];
    let mut results = Vec::new();
    for (name, logits) in layouts {
        let logits = logits.detach().set_requires_grad(true);
        let found = read([&logits, &actions, &mask], &request, &KernelOptions::default()).unwrap();
        let values = Tensor::stack(&found, 0);
        let weights = Tensor::arange(values.numel() as i64, (Kind::Float, Device::Cpu)).view_as(&values);
        (&values * weights).sum(None).backward();
        results.push((name, numbers(&values), numbers(logits.grad())));
    }
    for (name, values, gradient) in &results[1..] {
        assert!(*values == results[0].1 && *gradient == results[0].2, "{name}");
    }
}

#[test]
fn a_second_derivative_is_refused_and_the_first_is_right() {
    let request = [RowStatistic::new(TokenSet::All, 1.0, Statistic::Entropy)];
    let mask = Tensor::ones([1, 3], (Kind::Bool, Device::Cpu));
    let actions = Tensor::zeros([1, 3], (Kind::Int64, Device::Cpu));
    let first = |kernels: Kernels| {
        let logits = tensor(&spread_rows(), Kind::Double).set_requires_grad(true);
        let entropy = read([&logits, &actions, &mask], &request, &kernels.into()).unwrap().remove(0);
        let gradient = Tensor::run_backward(&[entropy.sum(None)], &[&logits], true, true).remove(0);
        (logits, gradient)
    };
    let (logits, gradient) = first(Kernels::Auto);
    let (_, plain) = first(Kernels::Reference);
    for (found, expected) in numbers(&gradient).iter().zip(numbers(&plain)) {
        assert_close(*found, expected, 1.0, 1e-12, "gradient");
    }
    let error = Tensor::f_run_backward(&[gradient.square().sum(None)], &[&logits], false, false).unwrap_err();
    assert!(error.to_string().contains("row statistics cannot be differentiated twice"), "{error}");
}

#[test]
fn logits_that_were_changed_since_are_refused() {
    let request = [RowStatistic::new(TokenSet::All, 1.0, Statistic::Entropy)];
    let mask = Tensor::ones([1, 3], (Kind::Bool, Device::Cpu));
    let actions = Tensor::zeros([1, 3], (Kind::Int64, Device::Cpu));
    let leaf = tensor(&spread_rows(), Kind::Float).set_requires_grad(true);
    let mut logits = &leaf * 2.0;
    let entropy = read([&logits, &actions, &mask], &request, &KernelOptions::default()).unwrap().remove(0);
    let _ = logits.zero_();
    let error = entropy.sum(None).f_backward().unwrap_err();
    assert!(error.to_string().contains("modified by an inplace operation"), "{error}");
}
