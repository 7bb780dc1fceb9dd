//! Row statistics against f64 computations written from the formulas: values, gradients, masks and borders.

#![expect(clippy::unwrap_used, reason = "what is unwrapped here is under test")]
#![expect(clippy::float_cmp, reason = "zeros and infinities are exact")]

mod compare;
mod fused;
mod hidden;
mod large;
mod naive;
mod overwrite;
mod rows;
mod shards;
mod strides;

use aent::kernels::{KernelError, KernelOptions, Kernels};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use proptest::prelude::*;
use rows::{KERNELS, SETS, all_moments, gradient, numbers, read, rounded, spread_rows, statistics, tensor};
use tch::{Device, Kind, Tensor};

/// A sum of rounded terms is off by a share of the largest of them, not of the sum.
fn assert_close(found: f64, expected: f64, scale: f64, tolerance: f64, what: &str) {
    let same = found == expected || (found.is_nan() && expected.is_nan());
    assert!(
        same || (found - expected).abs() <= tolerance * scale.max(expected.abs()),
        "{what}: expected {expected}, found {found}"
    );
}

/// How large the terms of a statistic are: an error relative to them is what rounding can be asked for.
fn scale(statistic: Statistic, row: &[f64], temperature: f64) -> f64 {
    let largest =
        row.iter().filter(|x| x.is_finite()).fold(1.0, |most: f64, x| most.max(x.abs() / temperature));
    match statistic {
        Statistic::Entropy | Statistic::Mass | Statistic::Size => 1.0,
        Statistic::SecondMoment | Statistic::Variance => largest * largest,
        _ => largest,
    }
}

fn check(rows: &[Vec<f64>], request: &[RowStatistic], kind: Kind, kernels: Kernels, tolerance: f64) {
    let actions: Vec<i64> = (0..rows.len()).map(|row| (row * 7 % rows[0].len()) as i64).collect();
    let found = statistics(rows, &actions, request, kind, kernels);
    for (asked, found) in request.iter().zip(&found) {
        for ((row, action), found) in rounded(rows, kind).iter().zip(&actions).zip(found) {
            let expected = naive::value(row, *action as usize, asked);
            let scale = scale(asked.statistic, row, asked.temperature);
            assert_close(*found, expected, scale, tolerance, &format!("{asked:?} in {kind:?}, {kernels}"));
        }
    }
}

fn tolerance(kind: Kind) -> f64 {
    if kind == Kind::Double { 1e-12 } else { 1e-5 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn moments_equal_their_formulas(
        (rows, set) in prop_oneof![1 => Just(1), 4 => 2..40usize, 1 => 1000..3000usize]
            .prop_flat_map(|length| (prop::collection::vec(rows::row(length), 1..4), rows::set(length))),
        temperature in prop::sample::select(vec![1.0, 0.5, 3.0]),
    ) {
        // Which token reaches a share is decided by the last bit where sums are equal; see the test of ties.
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16, Kind::Half] {
            for kernels in KERNELS {
                check(&rows, &all_moments(set, temperature), kind, kernels, tolerance(kind));
            }
        }
    }
}

#[test]
fn worked_entropies_come_out() {
    for kernels in KERNELS {
        let rows = [vec![2.0, 1.0, 0.0, -1.0, -3.0], vec![0.5; 5], vec![6.0, 0.0, -2.0, -2.0, -4.0]];
        let cases = [
            (TokenSet::All, [0.971_274_13, 1.609_437_91, 0.023_817_99]),
            (TokenSet::Drop(0.4), [0.832_395_58, 1.098_612_29, 0.020_317_21]),
            (TokenSet::Drop(0.2), [0.947_536_96, 1.386_294_36, 0.023_321_09]),
        ];
        for (set, expected) in cases {
            let request = [RowStatistic::new(set, 1.0, Statistic::Entropy)];
            let found = statistics(&rows, &[0, 0, 0], &request, Kind::Double, kernels);
            for (found, expected) in found[0].iter().zip(expected) {
                assert!((found - expected).abs() < 1e-8, "{set:?}: expected {expected}, found {found}");
            }
        }
    }
}

#[test]
fn the_variance_of_a_row_that_is_nearly_certain_keeps_its_digits() {
    // Moments of the logits themselves would be off by some thousands of the variance.
    let rows = [vec![38.0, 20.0, 19.0, 0.0, -4.0], vec![-30.0, -46.0, -47.5, -60.0, -80.0]];
    for set in [TokenSet::All, TokenSet::TopK(3)] {
        let request = [RowStatistic::new(set, 1.0, Statistic::Variance)];
        for kernels in KERNELS {
            let found = statistics(&rows, &[0, 0], &request, Kind::Float, kernels);
            for (row, found) in rows.iter().zip(&found[0]) {
                let expected = naive::value(row, 0, &request[0]);
                assert!(expected < 1e-4, "{expected}");
                assert!((found / expected - 1.0).abs() < 2e-5, "{set:?}, {kernels}: {found} for {expected}");
            }
        }
    }
}

#[test]
fn worked_entropy_gradients_come_out() {
    for kernels in KERNELS {
        let row = vec![2.0, 1.0, 0.0, -1.0, -3.0];
        let cases = [
            (TokenSet::All, [-0.337_719_90, 0.111_619_29, 0.127_830_31, 0.078_946_25, 0.019_324_05]),
            (TokenSet::Drop(0.4), [-0.282_587_45, 0.140_770_36, 0.141_817_09, 0.0, 0.0]),
        ];
        for (set, expected) in cases {
            let request = [RowStatistic::new(set, 1.0, Statistic::Entropy)];
            let found = gradient(std::slice::from_ref(&row), &[0], &[1.0], &request, Kind::Double, kernels);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-8, "{set:?}: expected {expected}, found {found}");
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for kernels in KERNELS {
        let rows = spread_rows();
        let actions = [0, 5, 10];
        for set in SETS {
            for statistic in
                Statistic::OF_POLICY.into_iter().filter(|statistic| *statistic != Statistic::Size)
            {
                let request = [RowStatistic::new(set, 0.7, statistic)];
                let found = gradient(&rows, &actions, &[1.0], &request, Kind::Double, kernels);
                for (at, found) in found.iter().enumerate() {
                    let (row, id) = (at / 11, at % 11);
                    let moved = |step: f64| {
                        let mut logits = rows[row].clone();
                        logits[id] += step;
                        naive::value(&logits, actions[row] as usize, &request[0])
                    };
                    let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    assert_close(*found, expected, 1.0, 1e-8, &format!("{:?} at {row}, {id}", request[0]));
                }
            }
        }
    }
}

#[test]
fn gradients_in_low_precision_are_those_of_the_rounded_logits() {
    for kernels in KERNELS {
        let request: Vec<_> = SETS.into_iter().flat_map(|set| all_moments(set, 1.0)).collect();
        let request: Vec<_> = request.into_iter().filter(|s| s.statistic != Statistic::Size).collect();
        let weights: Vec<f64> = (0..request.len()).map(|i| 0.1 + 0.05 * i as f64).collect();
        for (kind, step) in [(Kind::Float, 1e-6), (Kind::BFloat16, 1.0 / 256.0), (Kind::Half, 1.0 / 2048.0)] {
            let rows = rounded(&spread_rows(), kind);
            let exact = gradient(&rows, &[1, 2, 3], &weights, &request, Kind::Double, kernels);
            let found = gradient(&rows, &[1, 2, 3], &weights, &request, kind, kernels);
            for (found, exact) in found.iter().zip(&exact) {
                assert_close(*found, *exact, 0.1, 2.0 * step, &format!("{kind:?}"));
            }
        }
    }
}

#[test]
fn masked_rows_reach_neither_a_value_nor_a_gradient() {
    for kernels in KERNELS {
        let poison = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let clean = spread_rows();
        let mut rows = clean.clone();
        rows[1] = (0..11).map(|id| poison[id % 3]).collect();
        let request: Vec<_> = SETS.into_iter().flat_map(|set| all_moments(set, 1.0)).collect();
        let mask = Tensor::from_slice(&[true, false, true]).view([1, 3]);
        let actions = Tensor::from_slice(&[3, -77, 4i64]).view([1, 3]);
        let logits = tensor(&rows, Kind::Float).set_requires_grad(true);
        let found = read([&logits, &actions, &mask], &request, &kernels.into()).unwrap();
        for (statistic, found) in request.iter().zip(&found) {
            let found = numbers(found);
            assert_eq!(found[1], 0.0, "{statistic:?}");
            for (row, action) in [(0, 3), (2, 4)] {
                let expected = naive::value(&clean[row], action, statistic);
                assert_close(found[row], expected, 5.0, 1e-5, &format!("{statistic:?}"));
            }
        }
        found.iter().map(|statistic| statistic.sum(None)).reduce(|a, b| a + b).unwrap().backward();
        let gradient = numbers(logits.grad());
        assert_eq!(gradient[11..22], [0.0; 11]);
        assert!(gradient.iter().all(|g| g.is_finite()) && gradient[..11].iter().any(|g| *g != 0.0));
    }
}

#[test]
fn a_batch_without_valid_rows_gives_zeros_with_a_zero_gradient() {
    for kernels in KERNELS {
        let logits = Tensor::full([2, 3, 4], f64::NAN, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let actions = Tensor::full([2, 3], 9, (Kind::Int64, Device::Cpu));
        let mask = Tensor::zeros([2, 3], (Kind::Bool, Device::Cpu));
        let request: Vec<_> = SETS.into_iter().flat_map(|set| all_moments(set, 1.0)).collect();
        let found = read([&logits, &actions, &mask], &request, &kernels.into()).unwrap();
        assert_eq!(found.len(), request.len());
        for statistic in &found {
            assert_eq!(statistic.size(), [2, 3]);
            assert_eq!(numbers(statistic), [0.0; 6]);
        }
        found.iter().map(|statistic| statistic.sum(None)).reduce(|a, b| a + b).unwrap().backward();
        assert_eq!(numbers(logits.grad()), [0.0; 24]);
    }
}

#[test]
fn ties_keep_the_lower_ids() {
    for kernels in KERNELS {
        // Sizes and masses do not show which of two equal logits is kept; the gradient does.
        let row = vec![1.0, 2.0, 1.0, 1.0, 0.0, 1.0];
        let kept = |set| -> Vec<bool> {
            let request = [RowStatistic::new(set, 1.0, Statistic::LogSumExp)];
            let gradient =
                gradient(std::slice::from_ref(&row), &[0], &[1.0], &request, Kind::Double, kernels);
            gradient.iter().map(|g| *g != 0.0).collect()
        };
        let lowest_three = [true, true, true, false, false, false];
        assert_eq!(kept(TokenSet::TopK(3)), lowest_three);
        assert_eq!(kept(TokenSet::Drop(0.5)), lowest_three);
        // e² + 2e is 0.70 of the whole e² + 4e + 1, and e² + e is 0.54.
        assert_eq!(kept(TokenSet::TopP(0.6)), lowest_three);
        assert_eq!(kept(TokenSet::MinP(0.3)), [true, true, true, true, false, true]);
    }
}

#[test]
fn logits_far_from_zero_keep_their_sets() {
    // Next to 2^27 the f32 numbers are 16 apart.
    let row: Vec<f64> = (0..40).map(|id| 134_217_728.0 - 16.0 * f64::from(id % 8)).collect();
    for kernels in KERNELS {
        for temperature in [1.0, 100.0] {
            for set in [TokenSet::TopP(0.99), TokenSet::TopP(0.5), TokenSet::MinP(0.5), TokenSet::TopK(7)] {
                let request = all_moments(set, temperature);
                check(std::slice::from_ref(&row), &request, Kind::Float, kernels, 1e-5);
            }
        }
    }
}

#[test]
fn a_row_without_a_softmax_is_nan_in_every_statistic() {
    for kernels in KERNELS {
        let nan = vec![0.0, 1.0, 2.0, 3.0, f64::NAN];
        let infinite = vec![0.0, f64::INFINITY, 2.0, 3.0, 1.0];
        let banned = vec![f64::NEG_INFINITY; 5];
        let fine = vec![0.0, 1.0, 2.0, 3.0, f64::NEG_INFINITY];
        for set in SETS {
            let request = all_moments(set, 1.0);
            let rows = [nan.clone(), infinite.clone(), banned.clone(), fine.clone()];
            let found = statistics(&rows, &[0; 4], &request, Kind::Float, kernels);
            for (statistic, found) in request.iter().zip(&found) {
                assert!(found[..3].iter().all(|x| x.is_nan()), "{statistic:?}: {found:?}");
                assert!(found[3].is_finite(), "{statistic:?}: {found:?}");
            }
        }
    }
}

#[test]
fn results_have_a_graph_only_where_the_logits_have_one() {
    for kernels in KERNELS {
        let mask = Tensor::ones([1, 3], (Kind::Bool, Device::Cpu));
        let actions = Tensor::zeros([1, 3], (Kind::Int64, Device::Cpu));
        let request: Vec<_> = SETS.into_iter().flat_map(|set| all_moments(set, 1.0)).collect();
        for wants in [true, false] {
            for (kind, expected) in [(Kind::BFloat16, Kind::Float), (Kind::Double, Kind::Double)] {
                let logits = tensor(&spread_rows(), kind).set_requires_grad(wants);
                let found = read([&logits, &actions, &mask], &request, &kernels.into()).unwrap();
                for (asked, found) in request.iter().zip(&found) {
                    assert_eq!(
                        found.requires_grad(),
                        wants && asked.statistic != Statistic::Size,
                        "{asked:?}"
                    );
                    assert_eq!(found.kind(), expected);
                }
            }
        }
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let options = |kind| (kind, Device::Cpu);
    let logits = Tensor::zeros([2, 3, 5], options(Kind::Float));
    let actions = Tensor::zeros([2, 3], options(Kind::Int64));
    let mask = Tensor::ones([2, 3], options(Kind::Bool));
    let request = [RowStatistic::new(TokenSet::All, 1.0, Statistic::Entropy)];
    let message = |logits: &Tensor, actions: &Tensor, mask: &Tensor, request: &[RowStatistic]| {
        read([logits, actions, mask], request, &KernelOptions::default()).unwrap_err().to_string()
    };
    let cases = [
        (
            message(&logits.flatten(0, 1), &actions, &mask, &request),
            "`logits`: expected [B, T, V], found [6, 5]",
        ),
        (
            message(&logits, &actions.transpose(0, 1), &mask, &request),
            "`actions`: expected [2, 3], as the logits, found [3, 2]",
        ),
        (
            message(&logits, &actions, &mask.to_kind(Kind::Float), &request),
            "`response_mask`: expected bool, found f32",
        ),
        (
            message(&logits, &(actions.shallow_clone() + 5), &mask, &request),
            "`actions` at [0, 0]: expected a token id in 0 .. 4, found 5",
        ),
        (
            message(&logits, &actions, &mask, &[RowStatistic { set: TokenSet::TopP(1.5), ..request[0] }]),
            "`top_p`: expected a share in 0 .. 1, 0 excluded, found 1.5",
        ),
        (
            message(&logits, &actions, &mask, &[RowStatistic { temperature: 0.0, ..request[0] }]),
            "`temperature`: expected a positive number, found 0",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn kernels_are_named_as_on_the_command_line() {
    for kernels in [Kernels::Auto, Kernels::Reference] {
        assert_eq!(kernels.to_string().parse::<Kernels>().unwrap(), kernels);
    }
    let error: KernelError = "fast".parse::<Kernels>().unwrap_err();
    assert_eq!(error.to_string(), "`kernels`: expected `auto` or `reference`, found `fast`");
}

#[test]
fn a_statistic_that_is_asked_for_twice_is_given_twice() {
    let entropy = RowStatistic::new(TokenSet::All, 1.0, Statistic::Entropy);
    for kernels in KERNELS {
        let found = statistics(&[vec![1.0, 0.0, 3.0]], &[0], &[entropy, entropy], Kind::Double, kernels);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], found[1]);
    }
}
