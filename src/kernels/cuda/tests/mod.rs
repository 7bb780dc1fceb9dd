//! Runs the kernels' own text on the CPU and compares the results with the formulas in f64.

mod case;
mod compiling;

use tch::Kind;

use self::case::{Case, Numbers, PASS};
use super::emulation::Emulation;
use super::source::{Kernel, Source};
use super::{Kernels, Launcher};
use crate::kernels::KernelError;
use crate::kernels::engine::{Asked, Engine};
use crate::passes::{Pass, Plan};
use crate::rows::TokenSet;
use crate::tensor::DType;

const KINDS: [Kind; 4] = [Kind::BFloat16, Kind::Half, Kind::Float, Kind::Double];

/// Rows of many sorts: ordinary, flat, tied, banned, far from zero, and without a softmax.
fn rows(length: usize) -> Vec<Vec<f64>> {
    let mut numbers = Numbers(length as u64);
    let mut rows = vec![numbers.row(length, 3.0), numbers.row(length, 0.1)];
    rows.push(numbers.row(length, 2.0).iter().map(|x| x.round()).collect());
    rows.push(vec![0.25; length]);
    rows.push(
        numbers.row(length, 3.0).iter().map(|x| if *x < 1.0 { f64::NEG_INFINITY } else { *x }).collect(),
    );
    rows.push(numbers.row(length, 2.0).iter().map(|x| x + 1e4).collect());
    rows.push(numbers.row(length, 2.0).iter().map(|x| x - 1e4).collect());
    rows.push(numbers.row(length, 30.0));
    rows.push(vec![f64::NEG_INFINITY; length]);
    let mut bad = numbers.row(length, 1.0);
    bad[length / 2] = f64::NAN;
    rows.push(bad.clone());
    bad[length / 2] = f64::INFINITY;
    rows.push(bad);
    let mut one = vec![f64::NEG_INFINITY; length];
    one[length - 1] = -3.0;
    rows.push(one);
    // A vocabulary sorted by logit misleads a sample the most.
    let mut sorted = numbers.row(length, 3.0);
    sorted.sort_by(f64::total_cmp);
    rows.push(sorted);
    rows.push(numbers.row(length, 1.0).iter().map(|x| if *x < 0.0 { -0.0 } else { x.floor() }).collect());
    rows
}

/// Sets of every kind, small and large.
fn sets(length: usize) -> Vec<TokenSet> {
    let length = length as i64;
    let ranks = [1, 2, length / 10, length / 2, length * 7 / 10, length - 1];
    let mut sets: Vec<TokenSet> =
        ranks.into_iter().filter(|k| (1..length).contains(k)).map(TokenSet::TopK).collect();
    sets.extend([0.513, 0.9017, 0.9713, 1.0].map(TokenSet::TopP));
    sets.extend([0.05, 0.37, 1.0].map(TokenSet::MinP));
    sets
}

/// One pass over a set.
fn of(set: TokenSet) -> Vec<Pass> {
    vec![Pass { set: Some(set), ..PASS }]
}

#[test]
fn sums_over_all_tokens_are_those_of_the_formula() {
    for kind in KINDS {
        for length in [1, 2, 7, 8, 9, 63, 640, 1500] {
            Case { kind, masked: vec![1], ..Case::new(rows(length), vec![PASS]) }.judge();
        }
    }
}

#[test]
fn sets_are_those_of_a_sort() {
    for kind in KINDS {
        for length in [1, 5, 130, 1501] {
            for set in sets(length) {
                Case { kind, masked: vec![2], ..Case::new(rows(length), of(set)) }.judge();
            }
        }
    }
}

#[test]
fn a_kernel_of_one_set_finds_what_a_kernel_of_all_does() {
    for set in [None, Some(TokenSet::TopK(40)), Some(TokenSet::TopP(0.813)), Some(TokenSet::MinP(0.1))] {
        let passes = vec![Pass { set, ..PASS }];
        Case { specialised: true, ..Case::new(rows(700), passes) }.judge();
    }
}

#[test]
fn listed_tokens_are_read_and_get_their_own_gradient() {
    for kind in KINDS {
        for (length, lists) in [(9, vec![4]), (130, vec![1, 20]), (1501, vec![300, 7, 64])] {
            for set in [None, Some(TokenSet::TopK(3))] {
                let case = Case::new(rows(length), vec![Pass { set, ..PASS }]);
                let lists = lists.clone();
                Case { kind, lists, masked: vec![1], gap: length % 4, ..case }.judge();
            }
        }
    }
}

#[test]
fn rows_may_begin_anywhere_and_blocks_have_any_size() {
    for kind in KINDS {
        for (gap, threads) in [(1, 32), (3, 64), (5, 96), (8, 256), (13, 1024)] {
            let case = Case::new(rows(501), of(TokenSet::TopK(77)));
            Case { kind, gap, threads, in_place: gap % 2 == 1, ..case }.judge();
        }
    }
}

#[test]
fn a_large_vocabulary_is_sampled_and_ties_at_the_border_go_to_the_lower_ids() {
    for kind in KINDS {
        for set in [TokenSet::TopK(21_000), TokenSet::TopK(50), TokenSet::TopP(0.9)] {
            let mut numbers = Numbers(5);
            let mut rows = vec![numbers.row(30_011, 2.0)];
            // So few distinct values that thousands of tokens are on the border.
            rows.push(rows[0].iter().map(|x| (x * 2.0).round() / 2.0 - 7.0).collect());
            Case { kind, threads: 256, gap: 1, ..Case::new(rows, of(set)) }.judge();
        }
    }
}

/// The places of a row that a kernel draws for its sample.
fn drawn(length: usize) -> impl Iterator<Item = usize> {
    let stretch = length / 1024;
    (0..1024).map(move |n: usize| {
        let scattered = (n as u32).wrapping_mul(0x9e37_79b1) >> 7;
        n * stretch + scattered as usize % stretch
    })
}

#[test]
fn a_sample_may_mislead() {
    const LENGTH: usize = 9001;
    let row = |mean: f64| Numbers(9).row(LENGTH, 0.5).iter().map(|x| x + mean).collect::<Vec<f64>>();
    let with = |mut row: Vec<f64>, ids: &mut dyn Iterator<Item = usize>, value: f64| {
        ids.for_each(|id| row[id] = value);
        row
    };
    let (low, high) = (row(-3.0), row(5.0));
    let rows = vec![
        // Nothing that was drawn comes near the border, which lies further up, in positive and in negative numbers.
        with(high.clone(), &mut [77, 4000, 4001, 8999].into_iter(), 60_000.0),
        with(low.clone(), &mut [1, 2000, 2001].into_iter(), 3.0),
        with(low.clone(), &mut [1, 2000, 2001].into_iter(), -1e-3),
        // All that was drawn lies above it or below it.
        with(low.clone(), &mut drawn(LENGTH), 9.0),
        with(high.clone(), &mut drawn(LENGTH), -9.0),
        // The border is a banned token.
        with(low, &mut (0..LENGTH).filter(|id| id % 3 != 1), f64::NEG_INFINITY),
    ];
    for (kind, gap, threads) in [(Kind::BFloat16, 3, 256), (Kind::Half, 1, 1024), (Kind::Float, 2, 96)] {
        for count in [2, 3, 4500, 6001, 9000] {
            Case { kind, gap, threads, ..Case::new(rows.clone(), of(TokenSet::TopK(count))) }.judge();
        }
    }
}

#[test]
fn a_vocabulary_may_be_larger_than_masses_can_be_added_exactly_for() {
    for set in [None, Some(TokenSet::TopK(70_001))] {
        let row = Numbers(5).row((1 << 19) + 11, 2.0);
        let case = Case::new(vec![row], vec![Pass { set, ..PASS }]);
        Case { threads: 256, gap: 1, specialised: true, ..case }.judge();
    }
}

/// A device on which no gradient compiles.
struct Refusing;

impl Launcher for Refusing {
    fn prepare(&self, source: &Source) -> Result<(), KernelError> {
        match source.kernel {
            Kernel::Read => Ok(()),
            Kernel::Gradient => Err(KernelError::Cuda("no gradient".to_owned())),
        }
    }

    fn launch(&self, _source: &Source, _rows: i64, _task: &[u64]) -> Result<(), KernelError> {
        unreachable!("nothing is launched that was not prepared")
    }
}

#[test]
fn what_kernels_cannot_compute_is_known_before_a_row_is_read() {
    let plan = |set, vocabulary| Plan {
        passes: vec![Pass { set, ..PASS }],
        statistics: Vec::new(),
        second: false,
        vocabulary,
        references: 0,
        lists: Vec::new(),
    };
    let serves = |set, vocabulary| {
        let emulation = Emulation { threads: 64, blocks: 1, backwards: false, for_all_sets: false };
        let rows = Asked { vocabulary, kind: DType::BF16, gradient: true };
        Kernels(emulation).serves(&plan(set, vocabulary), rows).map_err(|error| error.to_string())
    };
    let weighed = Some(TokenSet::TopP(0.9));
    for set in [weighed, Some(TokenSet::TopK(5)), Some(TokenSet::MinP(0.1)), None] {
        assert_eq!(serves(set, (1 << 19) - 1), Ok(()));
        assert_eq!(serves(set, 1 << 19).is_ok(), set != weighed, "{set:?}");
        assert_eq!(serves(set, (1 << 24) + 1).is_ok(), set.is_none(), "{set:?}");
    }
    assert!(serves(weighed, 1 << 19).unwrap_err().contains("at most 524287 tokens for a set by mass"));
    assert_eq!(serves(None, (1 << 31) - 64), Ok(()));
    assert!(serves(None, 1 << 31).is_err());
    let refusing = Kernels(Refusing);
    let rows = Asked { vocabulary: 100, kind: DType::BF16, gradient: false };
    assert!(refusing.serves(&plan(None, 100), rows).is_ok());
    let error = refusing.serves(&plan(None, 100), Asked { gradient: true, ..rows }).unwrap_err();
    assert_eq!(error.to_string(), "CUDA: no gradient");
}

/// The reference of each row: near it or far from it, some with bans or without a softmax.
fn references(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut numbers = Numbers(17);
    let mut near = |row: &[f64], by: f64| row.iter().map(|x| x + by * numbers.normal()).collect::<Vec<f64>>();
    let mut references: Vec<Vec<f64>> = rows.iter().map(|row| near(row, 0.5)).collect();
    let length = rows[0].len();
    references[0] = rows[0].clone();
    references[1] = rows[1].iter().rev().map(|x| 20.0 * x).collect();
    references[2][length / 3] = f64::NEG_INFINITY;
    references[5][length / 2] = f64::NAN;
    references[6] = vec![f64::NEG_INFINITY; length];
    references[7] = near(&rows[7], 0.01);
    references
}

#[test]
fn passes_have_their_own_temperature_set_and_comparison_with_a_reference() {
    let compared = |set, beta| Pass { set, compares: Some(0), beta: Some(beta), ..PASS };
    let warm = |set| Pass { temperature: 1.7, set: Some(set), ..PASS };
    let cold = Pass { temperature: 0.6, ..compared(None, 0.05) };
    let [top_k, min_p, top_p] = [TokenSet::TopK(64), TokenSet::MinP(0.1), TokenSet::TopP(0.8137)];
    let cases = [
        (9, 0, [compared(None, 0.5), warm(min_p), cold.clone()]),
        (640, 3, [compared(Some(top_k), 0.5), warm(top_p), cold.clone()]),
        (1203, 8, [compared(Some(min_p), 0.5), warm(top_k), cold.clone()]),
        // Two `TopK` passes, in a row that is too short for a sample.
        (300, 1, [warm(TokenSet::TopK(9)), warm(top_k), cold]),
    ];
    for kind in KINDS {
        for (length, gap, passes) in &cases {
            let rows = rows(*length);
            let references = vec![references(&rows)];
            let case = Case::new(rows, passes.to_vec());
            Case { kind, references, gap: *gap, second: true, masked: vec![3], ..case }.judge();
        }
    }
}

#[test]
fn passes_may_compare_with_different_references() {
    let compared = |reference, beta| Pass { compares: Some(reference), beta, ..PASS };
    let passes = vec![
        Pass { set: Some(TokenSet::TopK(9)), ..compared(1, Some(0.5)) },
        compared(0, None),
        Pass { temperature: 1.7, ..compared(1, None) },
        PASS,
        compared(2, Some(0.1)),
    ];
    for kind in KINDS {
        let rows = rows(643);
        // One is lower than the others everywhere, one higher.
        let mut numbers = Numbers(23);
        let mut near = |by: f64| -> Vec<Vec<f64>> {
            rows.iter().map(|row| numbers.row(row.len(), 2.0).iter().map(|x| x + by).collect()).collect()
        };
        let references = vec![references(&rows), near(-30.0), near(40.0)];
        let case = Case::new(rows, passes.clone());
        Case { kind, references, gap: 3, second: true, masked: vec![3], ..case }.judge();
    }
}

#[test]
fn the_batch_may_divide_each_row() {
    let own = |set, beta| Pass { divided: true, set, compares: Some(0), beta, ..PASS };
    let half = |set| Pass { divided: true, temperature: 0.5, set: Some(set), ..PASS };
    let [top_k, min_p, top_p] = [TokenSet::TopK(64), TokenSet::MinP(0.1), TokenSet::TopP(0.8137)];
    let passes = [
        vec![own(None, Some(0.5)), half(min_p), PASS],
        vec![own(Some(top_k), None), half(top_p)],
        vec![Pass { divided: true, set: Some(top_p), ..PASS }],
    ];
    for kind in KINDS {
        for (passes, length) in passes.iter().zip([640, 1203, 300]) {
            let rows = rows(length);
            let references = vec![references(&rows)];
            let mut divisors: Vec<f64> = (0..rows.len()).map(|row| 0.3 + 0.37 * row as f64).collect();
            (divisors[3], divisors[4]) = (f64::NAN, f64::NAN);
            let case = Case::new(rows, passes.clone());
            let case = Case { kind, references, gap: 3, second: true, masked: vec![3], divisors, ..case };
            case.judge();
        }
    }
}

#[test]
fn extreme_divisors_come_to_an_end() {
    for set in [TokenSet::TopK(9), TokenSet::TopP(0.8), TokenSet::MinP(0.1)] {
        for divisor in [1e-300, 5e-324, 1e300] {
            let rows = rows(300);
            let divisors = vec![divisor; rows.len()];
            let passes = vec![Pass { divided: true, set: Some(set), ..PASS }];
            Case { divisors, ..Case::new(rows, passes) }.runs();
        }
    }
}
