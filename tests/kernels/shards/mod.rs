//! A vocabulary in shards, which threads hold: what they find together against the formulas, and against one process.

mod edges;
mod exchanges;
mod hidden;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aent::ProcessGroup;
use aent::kernels::{
    Exchange, KernelError, KernelOptions, RowInputs, Shards, Source, row_statistics, row_statistics_in_shards,
};
use aent::rows::{Divergence, FieldName, Rest, RowStatistic, Statistic, Taught, TokenSet};
use aent::tensor::{Host, Tensor as Handle};
use aent::testing::on_ranks;
use proptest::prelude::*;
use tch::{Kind, Tensor};

use crate::rows::{self, all_moments, numbers, rounded, spread_rows, tensor};
use crate::{assert_close, naive, scale, tolerance};

/// A group as the kernels see it, which counts what is sent.
#[derive(Debug)]
struct Over {
    group: Arc<dyn ProcessGroup>,
    exchanges: AtomicUsize,
    bytes: AtomicUsize,
}

impl Over {
    fn new(group: Arc<dyn ProcessGroup>) -> Self {
        Self { group, exchanges: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }
}

impl Exchange for Over {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn host(&self) -> &'static dyn Host {
        self.group.host()
    }

    fn all_gather(&self, tensor: &Handle) -> Result<Vec<Handle>, Box<dyn Error + Send + Sync>> {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(tensor.numel() * tensor.dtype().bytes(), Ordering::Relaxed);
        self.group.all_gather(tensor)
    }
}

/// What a field has for the rows, one after the other.
#[derive(Clone, Copy)]
enum Field<'a> {
    Ids(&'a [i64]),
    Numbers(&'a [f64]),
}

impl Field<'_> {
    /// `[1, rows]`, or `[1, rows, K]` where a row has several.
    fn tensor(self, rows: usize) -> Handle {
        let flat = match self {
            Self::Ids(ids) => Tensor::from_slice(ids),
            Self::Numbers(numbers) => Tensor::from_slice(numbers),
        };
        let each = flat.numel() / rows;
        let size = [1, rows as i64, each as i64];
        flat.view(if each == 1 { &size[..2] } else { &size[..] }).into()
    }
}

/// Rows of a policy and of a reference, with what else statistics read.
struct Case<'a> {
    rows: &'a [Vec<f64>],
    reference: Option<&'a [Vec<f64>]>,
    actions: &'a [i64],
    mask: &'a [bool],
    request: &'a [RowStatistic],
    fields: &'a [(FieldName, Field<'a>)],
    kind: Kind,
    options: KernelOptions,
}

/// `[statistic][row]`, and the gradient of their sum, each times a weight, `[row · V]`.
#[derive(Clone, Debug, PartialEq)]
struct Done {
    values: Vec<Vec<f64>>,
    gradient: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(rows: &'a [Vec<f64>], actions: &'a [i64], mask: &'a [bool], request: &'a [RowStatistic]) -> Self {
        let (kind, options) = (Kind::Double, KernelOptions::default());
        Self { rows, reference: None, actions, mask, request, fields: &[], kind, options }
    }

    /// What the tokens from `start` to `end` give, by themselves or as a shard.
    fn run(&self, [start, end]: [usize; 2], shards: Option<&Shards<'_>>) -> Result<Done, KernelError> {
        let part = |rows: &[Vec<f64>]| -> Handle {
            let part: Vec<Vec<f64>> = rows.iter().map(|row| row[start..end].to_vec()).collect();
            tensor(&part, self.kind).into()
        };
        let logits = part(self.rows).leaf();
        let reference = self.reference.map(part);
        let references: Vec<_> = reference.iter().map(|of| (None, Source::Logits(of))).collect();
        let actions = Handle::from(Tensor::from_slice(self.actions).view([1, -1]));
        let mask = Handle::from(Tensor::from_slice(self.mask).view([1, -1]));
        let fields: Vec<(FieldName, Handle)> =
            self.fields.iter().map(|(name, field)| (*name, field.tensor(self.rows.len()))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, field)| (*name, field)).collect();
        let inputs = RowInputs {
            references: &references,
            fields: &fields,
            ..RowInputs::new(&logits, &actions, &mask)
        };
        let found = match shards {
            Some(shards) => {
                shards.together(|| row_statistics_in_shards(&inputs, self.request, &self.options, shards))?
            }
            None => row_statistics(&inputs, self.request, &self.options)?,
        };
        let terms = found.iter().enumerate().map(|(at, statistic)| statistic.sum() * (1.0 - 0.3 * at as f64));
        terms.reduce(|a, b| a + b).unwrap().backward().unwrap();
        let gradient = logits.grad().map_or_else(|| vec![0.0; logits.numel()], numbers);
        Ok(Done { values: found.iter().map(numbers).collect(), gradient })
    }

    fn whole(&self) -> Done {
        self.run([0, self.rows[0].len()], None).unwrap()
    }

    /// The same over ranks, whose shards end at `ends`; all find the same values to the bit, and what each finds of the gradient
    /// is put together.
    fn spread(&self, ends: &[usize]) -> Done {
        let starts: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
        let done = on_ranks(ends.len(), |group| {
            let rank = group.rank();
            let over = Over::new(group);
            self.run([starts[rank], ends[rank]], Some(&Shards::new(&over))).unwrap()
        });
        let bits =
            |done: &Done| -> Vec<u64> { done.values.concat().iter().map(|value| value.to_bits()).collect() };
        assert!(done.iter().all(|of| bits(of) == bits(&done[0])), "ranks differ: {done:?}");
        let width = |rank: usize| ends[rank] - starts[rank];
        let gradient = (0..self.rows.len()).flat_map(|row| {
            let of_rank = |(rank, done): (usize, &Done)| {
                done.gradient[row * width(rank)..(row + 1) * width(rank)].to_vec()
            };
            done.iter().enumerate().flat_map(of_rank).collect::<Vec<_>>()
        });
        Done { values: done[0].values.clone(), gradient: gradient.collect() }
    }
}

/// Where shards end: 2, 3 and 4 of them, even and uneven, in rows of `length` tokens.
fn cuts(length: usize) -> Vec<Vec<usize>> {
    let even = |count: usize| (1..=count).map(|at| at * length / count).collect::<Vec<_>>();
    let mut cuts: Vec<Vec<usize>> = (2..=4).map(even).collect();
    cuts.push(vec![1, length]);
    cuts.push(vec![length / 2, length - 1, length]);
    cuts.retain(|ends| ends.windows(2).all(|pair| pair[0] < pair[1]) && ends[0] > 0);
    cuts
}

#[track_caller]
fn assert_like(found: &Done, expected: &Done, [values, gradient]: [f64; 2], what: &str) {
    let largest =
        |of: &[f64]| of.iter().filter(|x| x.is_finite()).fold(1.0, |most: f64, x| most.max(x.abs()));
    for (at, (found, expected)) in found.values.iter().zip(&expected.values).enumerate() {
        for (row, (x, y)) in found.iter().zip(expected).enumerate() {
            assert_close(*x, *y, largest(expected), values, &format!("{what}: statistic {at} of row {row}"));
        }
    }
    assert_eq!(found.gradient.len(), expected.gradient.len(), "{what}");
    for (at, (x, y)) in found.gradient.iter().zip(&expected.gradient).enumerate() {
        assert_close(*x, *y, largest(&expected.gradient), gradient, &format!("{what}: gradient at {at}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn shards_give_the_statistics_of_every_set_and_their_gradient(
        (rows, set) in prop_oneof![4 => 2..40usize, 1 => 1000..3000usize]
            .prop_flat_map(|length| (prop::collection::vec(rows::row(length), 1..4), rows::set(length))),
        temperature in prop::sample::select(vec![1.0, 0.5, 3.0]),
    ) {
        let length = rows[0].len();
        let actions: Vec<i64> = (0..rows.len()).map(|row| (row * 7 % length) as i64).collect();
        let request = [all_moments(set, temperature), all_moments(TokenSet::All, temperature)].concat();
        for (kind, step) in [(Kind::Double, 1e-11), (Kind::Float, 1e-5), (Kind::BFloat16, 2f64.powi(-7))] {
            let exact = rounded(&rows, kind);
            let mask = vec![true; rows.len()];
            let case = Case { kind, ..Case::new(&rows, &actions, &mask, &request) };
            let whole = case.whole();
            for ends in cuts(length) {
                let found = case.spread(&ends);
                let what = format!("{set:?} at {temperature} in {kind:?} of {ends:?}");
                for (asked, found) in request.iter().zip(&found.values) {
                    for ((row, action), found) in exact.iter().zip(&actions).zip(found) {
                        let expected = naive::value(row, *action as usize, asked);
                        let scale = scale(asked.statistic, row, temperature);
                        assert_close(*found, expected, scale, tolerance(kind), &format!("{what}: {asked:?}"));
                    }
                }
                // Where the action has no probability, one process has no gradient either.
                assert_like(&Done { values: Vec::new(), ..found }, &whole, [0.0, step], &what);
            }
        }
    }

    #[test]
    fn shards_compare_with_a_reference_as_one_process_does(
        (rows, reference) in prop_oneof![4 => 2..40usize, 1 => 1000..3000usize]
            .prop_flat_map(|length| (prop::collection::vec(rows::row(length), 2), prop::collection::vec(rows::row(length), 2))),
        temperature in prop::sample::select(vec![1.0, 0.5, 3.0]),
    ) {
        let statistics = [Statistic::ReverseKl, Statistic::ForwardKl, Statistic::JensenShannon(0.5), Statistic::JensenShannon(0.1)];
        let mut request = statistics.map(|statistic| RowStatistic::new(TokenSet::All, temperature, statistic)).to_vec();
        request.push(RowStatistic::new(TokenSet::TopK(3), temperature, Statistic::Entropy));
        for (kind, bounds) in [(Kind::Double, [1e-11, 1e-10]), (Kind::Float, [2e-5, 2e-5]), (Kind::BFloat16, [2e-5, 2f64.powi(-7)])] {
            let case = Case { kind, reference: Some(&reference), ..Case::new(&rows, &[0, 1], &[true; 2], &request) };
            let whole = case.whole();
            for ends in cuts(rows[0].len()) {
                let found = case.spread(&ends);
                assert_like(&found, &whole, bounds, &format!("at {temperature} in {kind:?} of {ends:?}"));
            }
        }
    }
}

#[test]
fn a_shard_without_a_token_that_can_be_sampled_comes_along() {
    let banned = f64::NEG_INFINITY;
    let rows = [
        vec![1.0, 0.5, 2.0, banned, banned, banned],
        vec![banned, banned, banned, banned, banned, 3.0],
        vec![banned; 6],
        vec![1.0, 2.0, f64::NAN, 0.0, 0.0, 0.0],
        vec![1.0, 2.0, 3.0, 0.0, f64::INFINITY, 0.0],
        vec![1.0, 2.0, f64::NAN, 0.0, f64::INFINITY, 0.0],
    ];
    let reference = [
        vec![0.0, 0.5, 1.0, banned, banned, banned],
        vec![1.0, banned, banned, banned, banned, 3.0],
        vec![0.0; 6],
        vec![0.0; 6],
        vec![0.0; 6],
        vec![f64::NAN; 6],
    ];
    let mask = [true, true, true, true, true, false];
    let compared = [Statistic::ReverseKl, Statistic::ForwardKl, Statistic::JensenShannon(0.3)];
    let mut request: Vec<RowStatistic> =
        [TokenSet::All, TokenSet::TopK(2), TokenSet::TopP(0.7), TokenSet::MinP(0.1), TokenSet::Drop(0.5)]
            .into_iter()
            .flat_map(|set| all_moments(set, 0.7))
            .collect();
    request.extend(compared.map(|statistic| RowStatistic::new(TokenSet::All, 0.7, statistic)));
    for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
        let case = Case {
            kind,
            reference: Some(&reference),
            ..Case::new(&rows, &[2, 5, 0, 0, 0, 77], &mask, &request)
        };
        let whole = case.whole();
        assert!(
            whole.values.iter().all(|of| of[2].is_nan() && of[3].is_nan() && of[4].is_nan() && of[5] == 0.0)
        );
        for ends in cuts(6) {
            let step = if kind == Kind::BFloat16 { 2f64.powi(-7) } else { 1e-5 };
            assert_like(&case.spread(&ends), &whole, [1e-5, step], &format!("{kind:?} of {ends:?}"));
        }
    }
}

#[test]
fn lists_divisors_and_teachers_span_the_shards() {
    let rows = spread_rows();
    let [ids, teacher, heat] = ["kept", "taught", "heat"].map(FieldName::new);
    let fields = [
        (ids, Field::Ids(&[4, 0, 10, 5, -1, 5, 7, -1, -1, -1, -1, -1])),
        (teacher, Field::Numbers(&[-1.0, -2.0, -0.9, -3.0, 9.0, -0.5, -1.5, 9.0, 9.0, 9.0, 9.0, 9.0])),
        (heat, Field::Numbers(&[0.5, 2.0, 1.3])),
    ];
    let taught = |divergence, rest| {
        let taught = Taught { divergence, of: teacher, rest };
        RowStatistic::new(TokenSet::Given(ids), 0.7, Statistic::Taught(taught))
    };
    let divided =
        |set, statistic| RowStatistic { divisor: Some(heat), ..RowStatistic::new(set, 0.9, statistic) };
    let mut request: Vec<RowStatistic> = Statistic::OF_POLICY
        .into_iter()
        .filter(|of| *of != Statistic::LogProbWithin)
        .map(|of| RowStatistic::new(TokenSet::Given(ids), 0.7, of))
        .collect();
    request.push(taught(Divergence::Forward, Rest::Bucket));
    request.push(taught(Divergence::Reverse, Rest::Renormalise));
    request.push(taught(Divergence::JensenShannon(0.3), Rest::Ignore));
    request.push(divided(TokenSet::All, Statistic::LogProb));
    request.push(divided(TokenSet::TopP(0.6), Statistic::Entropy));
    let case = Case { fields: &fields, ..Case::new(&rows, &[4, 5, 0], &[true; 3], &request) };
    let whole = case.whole();
    for ends in cuts(11) {
        assert_like(&case.spread(&ends), &whole, [1e-11, 1e-11], &format!("{ends:?}"));
    }
}
