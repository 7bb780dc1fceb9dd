//! What ranks say to each other: how much, and when something is wrong.

use std::sync::atomic::AtomicUsize;

use aent::kernels::{KernelOptions, Kernels, Shards};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::testing::on_ranks;
use tch::Kind;

use super::{Case, Over};
use crate::rows::spread_rows;

#[test]
fn what_is_wrong_on_one_rank_is_refused_on_all() {
    let rows = spread_rows();
    let [request, other] = [TokenSet::TopP(0.9), TokenSet::TopP(0.8)]
        .map(|set| [RowStatistic::new(set, 1.0, Statistic::Entropy)]);
    let says = |cases: [Case<'_>; 2]| -> [String; 2] {
        let said = on_ranks(2, |group| {
            let rank = group.rank();
            let over = Over::new(group);
            cases[rank].run([rank * 6, 6 + rank * 5], Some(&Shards::new(&over))).unwrap_err().to_string()
        });
        said.try_into().unwrap()
    };
    let plain = || Case::new(&rows, &[0, 5, 10], &[true; 3], &request);
    let words = "expected the statistics that rank 0 computes, of logits of the same kind, found others";
    let found = says([plain(), Case { request: &other, ..plain() }]);
    assert_eq!(found, [format!("rank 1: {words}"), format!("rank 1: {words}")]);
    let found = says([plain(), Case { kind: Kind::Float, ..plain() }]);
    assert_eq!(found, [format!("rank 1: {words}"), format!("rank 1: {words}")]);
    for wrong in [Case { actions: &[0, 5, 9], ..plain() }, Case { mask: &[true, true, false], ..plain() }] {
        let found = says([plain(), wrong]);
        assert!(
            found.iter().all(|said| said.starts_with("rank 1: expected the rows of rank 0")),
            "{found:?}"
        );
    }
    let outside = || Case { actions: &[0, 11, 10], ..plain() };
    let words = "`actions` at [0, 1]: expected a token id in 0 .. 10, found 11";
    let found = says([outside(), outside()]);
    assert!(found.iter().all(|said| said.ends_with(words)), "{found:?}");
    let options = KernelOptions::from(Kernels::Reference);
    let found = says([Case { options, ..plain() }, plain()]);
    assert!(found[0].starts_with("`kernels`: expected `auto` where ranks hold shards"), "{found:?}");
    assert_eq!(found[1], format!("rank 0: {}", found[0]));
}

#[test]
fn exchanges_are_few_and_grow_with_the_rows_alone() {
    let sent = |request: &[RowStatistic], length: usize, count: usize, kind: Kind| {
        let row = |row: usize| (0..length).map(|id| ((id * 7919 + row * 31) as f64).sin() * 6.0).collect();
        let rows: Vec<Vec<f64>> = (0..count).map(row).collect();
        let (actions, mask) = (vec![0; count], vec![true; count]);
        let case = Case { kind, ..Case::new(&rows, &actions, &mask, request) };
        let all = on_ranks(2, |group| {
            let rank = group.rank();
            let over = Over::new(group);
            case.run([rank * length / 2, (rank + 1) * length / 2], Some(&Shards::new(&over))).unwrap();
            [over.exchanges, over.bytes].map(AtomicUsize::into_inner)
        });
        assert_eq!(all[0], all[1]);
        all[0]
    };
    let of = |set, statistic| RowStatistic::new(set, 1.0, statistic);
    let plain = [of(TokenSet::All, Statistic::LogProb), of(TokenSet::All, Statistic::Entropy)];
    // A head of 64 bytes at the beginning, before the numbers, and at the end; four numbers for each row.
    assert_eq!(sent(&plain, 600, 8, Kind::Float), [4, 3 * 64 + 8 * 4 * 8]);
    assert_eq!(sent(&plain, 6000, 16, Kind::Float), [4, 3 * 64 + 16 * 4 * 8]);
    // A set needs one more exchange for its sums, and to find its edge one for ties, some that narrow a range of logits of so many
    // bits to a 64th each, and for a share of the mass one that says where to begin.
    for (set, kind, bits, begins) in [
        (TokenSet::TopP(0.9), Kind::BFloat16, 16, 1),
        (TokenSet::TopP(0.9), Kind::Float, 32, 1),
        (TokenSet::TopK(20), Kind::BFloat16, 16, 0),
        (TokenSet::TopK(20), Kind::Float, 32, 0),
        (TokenSet::Drop(0.2), Kind::Float, 32, 0),
    ] {
        let request = [&plain[..], &[of(set, Statistic::Entropy)]].concat();
        let narrows = usize::div_ceil(bits, 6);
        let messages = 1 + begins + narrows + 2;
        let of_row = 4 + 2 * begins + 64 * narrows + 1 + 3;
        for length in [600, 1800] {
            let expected = [2 * messages + 2, (messages + 2) * 64 + 8 * of_row * 8];
            assert_eq!(sent(&request, length, 8, kind), expected, "{set:?} in {kind:?} of {length}");
        }
    }
    // A share of the highest probability needs none: its edge follows from the highest logit.
    let request = [&plain[..], &[of(TokenSet::MinP(0.1), Statistic::Entropy)]].concat();
    assert_eq!(sent(&request, 600, 8, Kind::Float), [6, 4 * 64 + 8 * (4 + 3) * 8]);
}
