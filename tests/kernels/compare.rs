//! The divergences from a reference, against their formulas and between the kernels.

use aent::kernels::{Kernels, RowInputs, Source, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::tensor::{DType, Tensor as Handle};
use proptest::prelude::*;
use tch::{Kind, Tensor};

use crate::rows::{self, KERNELS, numbers, spread_rows, tensor};
use crate::{assert_close, naive};

const STATISTICS: [Statistic; 4] = [
    Statistic::ReverseKl,
    Statistic::ForwardKl,
    Statistic::JensenShannon(0.5),
    Statistic::JensenShannon(0.1),
];

/// Rows of the policy beside rows of the reference.
struct Beside<'a> {
    rows: &'a [Vec<f64>],
    reference: &'a [Vec<f64>],
    mask: &'a [bool],
}

impl Beside<'_> {
    /// Values of all statistics, `[statistic][row]`, and the gradient of their weighted sum.
    fn run(
        &self,
        request: &[RowStatistic],
        weights: &[f64],
        kind: Kind,
        kernels: Kernels,
    ) -> (Vec<Vec<f64>>, Vec<f64>) {
        let logits = Handle::from(tensor(self.rows, kind)).leaf();
        let reference = tensor(self.reference, kind).into();
        let [actions, mask] = actions_and_mask(self.mask);
        let inputs = RowInputs {
            fields: &[],
            references: &[(None, Source::Logits(&reference))],
            ..RowInputs::new(&logits, &actions, &mask)
        };
        let found = row_statistics(&inputs, request, &kernels.into()).unwrap();
        let terms = found.iter().zip(weights).map(|(statistic, weight)| statistic.sum() * *weight);
        terms.reduce(|a, b| a + b).unwrap().backward().unwrap();
        (found.iter().map(numbers).collect(), numbers(logits.grad().unwrap()))
    }
}

/// The first token of each row, and which rows count.
fn actions_and_mask(mask: &[bool]) -> [Handle; 2] {
    let mask = Tensor::from_slice(mask).view([1, -1]);
    [mask.zeros_like().to_kind(Kind::Int64), mask].map(Handle::from)
}

fn of(statistic: Statistic, temperature: f64) -> RowStatistic {
    RowStatistic::new(TokenSet::All, temperature, statistic)
}

/// A reference for [`spread_rows`]: as long, near it in one row and far in the others.
fn references() -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = (0..3)
        .map(|row| (0..11).map(|id| f64::from((id * 5 + 3 * row) % 11) * 0.41 - 2.0).collect())
        .collect();
    rows[0] = spread_rows()[0].iter().enumerate().map(|(id, x)| x + 0.01 * (id % 3) as f64).collect();
    rows
}

#[test]
fn worked_divergences_come_out() {
    // By hand: the policy (2, 1, 0, -1), the reference (0, 1, 2, -1).
    let (rows, reference) = ([vec![2.0, 1.0, 0.0, -1.0]], [vec![0.0, 1.0, 2.0, -1.0]]);
    let beside = Beside { rows: &rows, reference: &reference, mask: &[true] };
    for kernels in KERNELS {
        let request = [
            of(Statistic::ReverseKl, 1.0),
            of(Statistic::ForwardKl, 1.0),
            of(Statistic::JensenShannon(0.5), 1.0),
        ];
        let (found, _) = beside.run(&request, &[1.0; 3], Kind::Double, kernels);
        for (found, expected) in found.iter().zip([1.113_539_88, 1.113_539_88, 0.239_650_74]) {
            assert!((found[0] - expected).abs() < 1e-8, "expected {expected}, found {}", found[0]);
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let (rows, reference) = (spread_rows(), references());
    let beside = Beside { rows: &rows, reference: &reference, mask: &[true; 3] };
    for kernels in KERNELS {
        for statistic in STATISTICS {
            let (_, gradient) = beside.run(&[of(statistic, 0.7)], &[1.0], Kind::Double, kernels);
            for (at, found) in gradient.iter().enumerate() {
                let (row, id) = (at / 11, at % 11);
                let moved = |step: f64| {
                    let mut logits = rows[row].clone();
                    logits[id] += step;
                    naive::divergence(&logits, &reference[row], 0.7, statistic)
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert_close(*found, expected, 1.0, 1e-8, &format!("{statistic:?} at {row}, {id}"));
            }
        }
    }
}

#[test]
fn no_gradient_flows_to_the_reference_and_equal_policies_are_not_apart() {
    let [logits, reference] = [(); 2].map(|()| Handle::from(tensor(&spread_rows(), Kind::Float)).leaf());
    let [actions, mask] = actions_and_mask(&[true; 3]);
    let references = &[(None, Source::Logits(&reference))];
    let inputs = RowInputs { references, ..RowInputs::new(&logits, &actions, &mask) };
    for kernels in KERNELS {
        let request: Vec<_> = STATISTICS.into_iter().map(|statistic| of(statistic, 1.0)).collect();
        let found = row_statistics(&inputs, &request, &kernels.into()).unwrap();
        for (asked, found) in request.iter().zip(&found) {
            assert!(numbers(found).iter().all(|value| value.abs() < 1e-6), "{asked:?}: {:?}", numbers(found));
        }
        found.iter().map(Handle::sum).reduce(|a, b| a + b).unwrap().backward().unwrap();
        assert!(reference.grad().is_none());
    }
}

#[test]
fn what_one_of_both_bans_is_infinitely_far_or_counts_for_nothing() {
    let infinite = f64::NEG_INFINITY;
    let rows = [vec![1.0, infinite, 0.0], vec![1.0, 2.0, 0.0], vec![infinite, 1.0, 2.0]];
    let reference = [vec![1.0, 2.0, 0.0], vec![1.0, infinite, 0.0], vec![infinite, 2.0, 1.0]];
    let beside = Beside { rows: &rows, reference: &reference, mask: &[true; 3] };
    for kernels in KERNELS {
        let request: Vec<_> = STATISTICS.into_iter().map(|statistic| of(statistic, 1.0)).collect();
        let (found, _) = beside.run(&request, &[1.0; 4], Kind::Double, kernels);
        for (asked, found) in request.iter().zip(&found) {
            for (row, found) in found.iter().enumerate() {
                let expected = naive::divergence(&rows[row], &reference[row], 1.0, asked.statistic);
                assert_close(*found, expected, 1.0, 1e-12, &format!("{asked:?} of row {row}, {kernels}"));
            }
        }
        assert!(found[0][1].is_infinite() && found[1][0].is_infinite() && found[2][0].is_finite());
    }
}

#[test]
fn a_token_that_both_ban_has_no_part_in_a_gradient() {
    let banned = |row: &[f64]| [row, &[f64::NEG_INFINITY]].concat();
    let (row, reference) = ([0.5, -0.25, 1.5], [0.0, 1.0, 0.25]);
    let request = STATISTICS.map(|statistic| of(statistic, 0.8));
    let weights = [1.0, 0.5, -0.7, 0.3];
    for kernels in KERNELS {
        let gradient = |row: Vec<f64>, reference: Vec<f64>| {
            let (rows, reference) = ([row], [reference]);
            let beside = Beside { rows: &rows, reference: &reference, mask: &[true] };
            beside.run(&request, &weights, Kind::Double, kernels).1
        };
        let without = gradient(row.to_vec(), reference.to_vec());
        let with = gradient(banned(&row), banned(&reference));
        for (id, (found, expected)) in with.iter().zip(without.iter().chain(&[0.0])).enumerate() {
            assert_close(*found, *expected, 1.0, 1e-12, &format!("{kernels}, token {id}"));
        }
    }
}

#[test]
fn a_reference_without_a_softmax_makes_nan_and_a_masked_one_nothing() {
    let rows = spread_rows();
    let mut reference = references();
    reference[1][4] = f64::NAN;
    reference[2][7] = f64::INFINITY;
    for kernels in KERNELS {
        let request: Vec<_> = STATISTICS.into_iter().map(|statistic| of(statistic, 1.0)).collect();
        let beside = Beside { rows: &rows, reference: &reference, mask: &[true, false, true] };
        let (found, gradient) = beside.run(&request, &[1.0; 4], Kind::Float, kernels);
        for found in &found {
            assert!(found[0].is_finite() && found[1] == 0.0 && found[2].is_nan(), "{found:?}");
        }
        assert_eq!(gradient[11..22], [0.0; 11]);
        assert!(gradient[..11].iter().all(|g| g.is_finite()));
    }
}

#[test]
fn a_reference_that_is_missing_or_does_not_fit_is_refused_by_name() {
    let logits = Handle::from(tensor(&spread_rows(), Kind::Float));
    let [actions, mask] = actions_and_mask(&[true; 3]);
    let message = |reference: Option<&Handle>| {
        let given: Vec<_> =
            reference.into_iter().map(|reference| (None, Source::Logits(reference))).collect();
        let inputs = RowInputs { references: &given, ..RowInputs::new(&logits, &actions, &mask) };
        let request = [of(Statistic::ReverseKl, 1.0)];
        row_statistics(&inputs, &request, &Kernels::Auto.into()).unwrap_err().to_string()
    };
    assert_eq!(message(None), "`ref_logits`: expected logits to compare with, `[B, T, V]`, found none");
    let narrow = logits.narrow(2, 0, 7);
    assert_eq!(
        message(Some(&narrow)),
        "`ref_logits`: expected [1, 3, 11], as the policy's logits, found [1, 3, 7]"
    );
    let wide = logits.to_dtype(DType::F64);
    assert_eq!(message(Some(&wide)), "`ref_logits`: expected f32, as the policy's logits, found f64");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn divergences_equal_their_formulas(
        (rows, reference) in prop_oneof![1 => Just(1), 4 => 2..40usize, 1 => 1000..3000usize]
            .prop_flat_map(|length| (prop::collection::vec(rows::row(length), 2), prop::collection::vec(rows::row(length), 2))),
        temperature in prop::sample::select(vec![1.0, 0.5, 3.0]),
    ) {
        let mask = [true, true];
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16, Kind::Half] {
            let exact = Beside { rows: &rows::rounded(&rows, kind), reference: &rows::rounded(&reference, kind), mask: &mask };
            let tolerance = if kind == Kind::Double { 1e-10 } else { 2e-5 };
            let request: Vec<_> = STATISTICS.into_iter().map(|statistic| of(statistic, temperature)).collect();
            let weights = [1.0, 0.5, -1.0, 0.25];
            let (_, plain) = exact.run(&request, &weights, Kind::Double, Kernels::Reference);
            for kernels in KERNELS {
                let (found, gradient) = exact.run(&request, &weights, kind, kernels);
                for (asked, found) in request.iter().zip(&found) {
                    for (row, found) in found.iter().enumerate() {
                        let expected = naive::divergence(&exact.rows[row], &exact.reference[row], temperature, asked.statistic);
                        assert_close(*found, expected, largest(&exact) / temperature, tolerance, &format!("{asked:?} in {kind:?}, {kernels}"));
                    }
                }
                // Where a divergence is infinite, its gradient is of no use to anybody.
                let step = match kind {
                    Kind::BFloat16 => 2f64.powi(-7),
                    Kind::Half => 2f64.powi(-9),
                    _ => tolerance,
                };
                let length = rows[0].len();
                for row in 0..rows.len() {
                    let [found, expected] = [&gradient, &plain].map(|all| &all[row * length..][..length]);
                    if found.iter().chain(expected).all(|g| g.is_finite()) {
                        for (found, expected) in found.iter().zip(expected) {
                            assert_close(*found, *expected, largest(&exact) / temperature, step, &format!("gradient in {kind:?}, {kernels}"));
                        }
                    } else {
                        let is_infinite = |statistic| naive::divergence(&exact.rows[row], &exact.reference[row], temperature, statistic).is_infinite();
                        prop_assert!(is_infinite(Statistic::ReverseKl) || is_infinite(Statistic::ForwardKl));
                    }
                }
            }
        }
    }
}

fn largest(beside: &Beside<'_>) -> f64 {
    let all = beside.rows.iter().chain(beside.reference).flatten();
    all.filter(|x| x.is_finite()).fold(1.0, |most: f64, x| most.max(x.abs()))
}
