//! Rows for the tests: proptest strategies, and tensors made of plain vectors.

use aent::kernels::{KernelError, KernelOptions, Kernels, RowInputs, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::tensor::Tensor as Handle;
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

/// Every implementation.
pub(crate) const KERNELS: [Kernels; 2] = [Kernels::Auto, Kernels::Reference];

/// A set of each sort.
pub(crate) const SETS: [TokenSet; 5] =
    [TokenSet::All, TokenSet::Drop(0.3), TokenSet::TopK(3), TokenSet::TopP(0.8), TokenSet::MinP(0.05)];

/// All statistics over one set at one temperature.
pub(crate) fn all_moments(set: TokenSet, temperature: f64) -> Vec<RowStatistic> {
    Statistic::OF_POLICY.map(|statistic| RowStatistic::new(set, temperature, statistic)).to_vec()
}

/// Statistics of `rows` (all of one length, all valid): `[statistic][row]` in f64.
pub(crate) fn statistics(
    rows: &[Vec<f64>],
    actions: &[i64],
    request: &[RowStatistic],
    kind: Kind,
    kernels: Kernels,
) -> Vec<Vec<f64>> {
    let mask = Tensor::ones([1, rows.len() as i64], (Kind::Bool, Device::Cpu));
    let actions = Tensor::from_slice(actions).view([1, -1]);
    read([&tensor(rows, kind), &actions, &mask], request, &kernels.into())
        .unwrap()
        .iter()
        .map(numbers)
        .collect()
}

/// `[1, rows, V]` of the kind.
pub(crate) fn tensor(rows: &[Vec<f64>], kind: Kind) -> Tensor {
    Tensor::from_slice(&rows.concat()).view([1, rows.len() as i64, -1]).to_kind(kind)
}

/// The rows as the kind rounds them.
pub(crate) fn rounded(rows: &[Vec<f64>], kind: Kind) -> Vec<Vec<f64>> {
    let flat = numbers(tensor(rows, kind));
    flat.chunks(rows[0].len()).map(<[f64]>::to_vec).collect()
}

/// All elements in f64.
pub(crate) fn numbers(tensor: impl Into<Handle>) -> Vec<f64> {
    tensor.into().to_f64s().unwrap()
}

/// The statistics of logits with their actions and their mask, as tch has them.
pub(crate) fn read(
    tensors: [&Tensor; 3],
    request: &[RowStatistic],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    let [logits, actions, mask] = tensors.map(Handle::from);
    let found = row_statistics(&RowInputs::new(&logits, &actions, &mask), request, options)?;
    Ok(found.iter().map(|statistic| statistic.tch().unwrap()).collect())
}

/// A row of `length` logits: spread, peaked, constant, in few values with many ties, far from zero, partly banned.
pub(crate) fn row(length: usize) -> impl Strategy<Value = Vec<f64>> {
    let logit = prop_oneof![
        4 => (-8.0..8.0f64).prop_map(|x| (x * 1024.0).round() / 1024.0),
        1 => Just(0.5),
    ];
    let tied = prop::sample::select(vec![-2.0, -0.5, 0.0, 0.25, 3.0]);
    let banned = prop_oneof![3 => -4.0..4.0f64, 1 => Just(f64::NEG_INFINITY)];
    prop_oneof![
        4 => prop::collection::vec(logit, length),
        2 => prop::collection::vec(tied, length),
        1 => prop::collection::vec((-3.0..3.0f64).prop_map(|x| x + 1e4), length),
        1 => prop::collection::vec(prop::sample::select(vec![-1e4, 1e4, 0.0]), length),
        1 => (-5.0..5.0f64).prop_map(move |x| vec![x; length]),
        2 => prop::collection::vec(banned, length).prop_map(|mut row| {
            // A row must have something to choose from.
            row[0] = 1.0;
            row
        }),
    ]
}

/// Any set that makes sense for `length` tokens, its borders included.
pub(crate) fn set(length: usize) -> impl Strategy<Value = TokenSet> {
    let count = length as i64;
    prop_oneof![
        Just(TokenSet::All),
        prop_oneof![Just(0.0), Just(0.3), 0.0..1.0f64].prop_map(TokenSet::Drop),
        prop_oneof![Just(1), Just(count), Just(count + 1), 1..=count].prop_map(TokenSet::TopK),
        prop_oneof![Just(1.0), Just(1e-9), 0.01..1.0f64].prop_map(TokenSet::TopP),
        prop_oneof![Just(1.0), Just(1e-30), 1e-4..1.0f64].prop_map(TokenSet::MinP),
    ]
}

/// The gradient of `Σ weight · statistic` with respect to the logits.
pub(crate) fn gradient(
    rows: &[Vec<f64>],
    actions: &[i64],
    weights: &[f64],
    request: &[RowStatistic],
    kind: Kind,
    kernels: Kernels,
) -> Vec<f64> {
    let logits = tensor(rows, kind).set_requires_grad(true);
    let mask = Tensor::ones([1, rows.len() as i64], (Kind::Bool, Device::Cpu));
    let actions = Tensor::from_slice(actions).view([1, -1]);
    let found = read([&logits, &actions, &mask], request, &kernels.into()).unwrap();
    let terms = found.iter().zip(weights).map(|(statistic, weight)| statistic.sum(None) * *weight);
    terms.reduce(|a, b| a + b).unwrap().backward();
    numbers(logits.grad())
}

/// Rows without two equal logits, far enough apart that a small step changes no set.
pub(crate) fn spread_rows() -> Vec<Vec<f64>> {
    (0..3).map(|row| (0..11).map(|id| f64::from((id * 7 + row) % 11) * 0.37 - 1.9).collect()).collect()
}
