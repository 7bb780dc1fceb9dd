//! The edges of sets that span shards.

use aent::kernels::KernelOptions;
use aent::rows::{RowStatistic, Statistic, TokenSet};
use tch::Kind;

use super::{Case, assert_like, cuts};
use crate::naive;

#[test]
fn ties_over_the_borders_of_shards_go_to_the_lower_ids() {
    let mut row = vec![0.5; 12];
    (row[3], row[7], row[10]) = (2.0, -1.0, f64::NEG_INFINITY);
    for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
        for set in (1..=12).map(TokenSet::TopK).chain([0.2, 0.5, 0.77, 0.999, 1.0].map(TokenSet::TopP)) {
            let request = [Statistic::LogSumExp, Statistic::Size].map(|of| RowStatistic::new(set, 1.0, of));
            let rows = [row.clone()];
            let case = Case { kind, ..Case::new(&rows, &[0], &[true], &request) };
            let members = naive::members(&row, set, 1.0);
            for ends in cuts(12) {
                let found = case.spread(&ends);
                let kept: Vec<bool> = found.gradient.iter().map(|share| *share != 0.0).collect();
                // A banned token has no share, inside or outside.
                let expected: Vec<bool> =
                    members.iter().zip(&row).map(|(is, x)| *is && x.is_finite()).collect();
                assert_eq!(kept, expected, "{set:?} in {kind:?} of {ends:?}");
                let size = members.iter().filter(|is| **is).count() as f64;
                assert_eq!(found.values[1], [size], "{set:?} in {kind:?} of {ends:?}");
            }
        }
    }
}

#[test]
fn sets_that_are_larger_than_what_ranks_look_at_first_are_found_too() {
    let length = 4200;
    let flat: Vec<f64> = (0..length).map(|id| f64::from(id * 7919 % 4201) * 1e-4).collect();
    let tied: Vec<f64> = (0..length).map(|id| f64::from(id * 31 % 5)).collect();
    let peaked: Vec<f64> = (0..length).map(|id| -f64::from(id * 7919 % 4201).sqrt()).collect();
    let rows = [flat, vec![1.5; length as usize], tied, peaked];
    let statistics = [Statistic::Size, Statistic::Entropy, Statistic::Mass];
    for set in [TokenSet::TopP(0.5), TokenSet::TopP(0.97), TokenSet::TopK(1024), TokenSet::TopK(1900)] {
        let request = statistics.map(|statistic| RowStatistic::new(set, 0.8, statistic));
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
            let case = |chunk_bytes: usize| Case {
                kind,
                options: KernelOptions { chunk_bytes, ..KernelOptions::default() },
                ..Case::new(&rows, &[0; 4], &[true; 4], &request)
            };
            let (whole, found) = (case(1 << 20).whole(), case(1 << 20).spread(&[1500, 3000, 4200]));
            let step = if kind == Kind::BFloat16 { 2f64.powi(-7) } else { 1e-5 };
            assert_like(&found, &whole, [1e-5, step], &format!("{set:?} in {kind:?}"));
            if kind == Kind::Float {
                // The same to the bit a row at a time.
                assert_eq!(case(1).spread(&[1500, 3000, 4200]), found, "{set:?}");
            }
        }
    }
}
