//! The device's numbers beside those of plain operations in f64 under torch's own autograd, on the processor.

use aent::kernels::{Head, Hidden, KernelOptions, Kernels, RowInputs, Source, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::tensor::Tensor as Handle;
use tch::{Device, Kind, Tensor};

use crate::rows::Batch;

const KINDS: [Kind; 4] = [Kind::BFloat16, Kind::Half, Kind::Float, Kind::Double];

/// Returns how many rows of statistics and gradients were compared, or what differs.
pub(crate) fn everything(device: Device) -> Result<i64, String> {
    tch::manual_seed(1);
    let mut compared = 0;
    for kind in KINDS {
        for vocabulary in [1, 7, 5003] {
            for request in requests() {
                let batch = Batch::of_all_sorts(kind, vocabulary);
                compared += compare(&batch, &request, kind, device)?;
            }
        }
    }
    // Long enough to be sampled by blocks of a thousand threads.
    for kind in [Kind::BFloat16, Kind::Float] {
        for set in [TokenSet::Drop(0.3), TokenSet::TopK(50), TokenSet::TopP(0.5), TokenSet::MinP(0.01)] {
            let batch = Batch::of_all_sorts(kind, 151_936);
            compared += compare(&batch, &of_set(set, 1.0), kind, device)?;
        }
    }
    compared += hidden(device)?;
    Ok(compared)
}

/// Requests that together have every statistic, set and temperature, alone and mixed.
fn requests() -> Vec<Vec<RowStatistic>> {
    let sets = [
        TokenSet::All,
        TokenSet::Drop(0.3),
        TokenSet::TopK(40),
        TokenSet::TopP(0.9),
        TokenSet::TopP(1.0),
        TokenSet::MinP(0.05),
    ];
    let mut requests: Vec<Vec<RowStatistic>> = Vec::new();
    for set in sets {
        requests.extend([1.0, 0.7].map(|temperature| of_set(set, temperature)));
    }
    let compared = |temperature| {
        [
            Statistic::ReverseKl,
            Statistic::ForwardKl,
            Statistic::JensenShannon(0.5),
            Statistic::JensenShannon(0.1),
        ]
        .map(|statistic| RowStatistic::new(TokenSet::All, temperature, statistic))
        .to_vec()
    };
    requests.push(compared(1.0));
    let mixed = [of_set(TokenSet::Drop(0.3), 1.0), of_set(TokenSet::TopP(0.8), 1.9), compared(0.8)];
    requests.push(mixed.concat());
    requests
}

/// Every statistic over a set.
fn of_set(set: TokenSet, temperature: f64) -> Vec<RowStatistic> {
    Statistic::OF_POLICY.map(|statistic| RowStatistic::new(set, temperature, statistic)).to_vec()
}

fn compare(batch: &Batch, request: &[RowStatistic], kind: Kind, device: Device) -> Result<i64, String> {
    let exact = run(&batch.to(Device::Cpu, Kind::Double), request, KernelOptions::from(Kernels::Reference))?;
    let there = batch.to(device, kind);
    let found = run(&there, request, KernelOptions::default())?;
    let size = batch.logits.size();
    let place = |what: &str| format!("{what} of {size:?} in {kind:?}, {:?}", request.first());
    for ((found, exact), asked) in found.statistics.iter().zip(&exact.statistics).zip(request) {
        let tolerance = if kind == Kind::Double { 1e-9 } else { 2e-5 };
        alike(found, exact, tolerance).map_err(|what| format!("{}: {what}", place(&format!("{asked:?}"))))?;
    }
    let rounding = match kind {
        Kind::BFloat16 => 2f64.powi(-8),
        Kind::Half => 2f64.powi(-10),
        Kind::Float => 1e-5,
        _ => 1e-9,
    };
    near_by_row(&found.gradient, &exact.gradient, rounding)
        .map_err(|what| format!("{}: {what}", place("gradient")))?;
    let again = run(&there, request, KernelOptions::default())?;
    if !same(&again.gradient, &found.gradient) {
        return Err(place("the gradient is another one the second time, that"));
    }
    let over = KernelOptions { overwrite_logits: true, ..KernelOptions::default() };
    // Lying as the others do: where a row begins decides in which order it is summed up.
    let given_up = batch.to(device, kind);
    if !same(&run(&given_up, request, over)?.gradient, &found.gradient) {
        return Err(place("the gradient is another one over the logits, that"));
    }
    Ok(size[0] * size[1])
}

/// Statistics and a gradient, in f64 on the processor.
struct Outcome {
    statistics: Vec<Tensor>,
    gradient: Tensor,
}

fn run(batch: &Batch, request: &[RowStatistic], options: KernelOptions) -> Result<Outcome, String> {
    let leaf = batch.logits.detach().set_requires_grad(true);
    // A leaf that wants a gradient cannot be given up; what was computed from one can.
    let logits = leaf.alias();
    let [logits, reference, actions, mask] =
        [&logits, &batch.reference, &batch.actions, &batch.mask].map(Handle::from);
    let inputs = RowInputs {
        fields: &[],
        policy: Source::Logits(&logits),
        references: &[(None, Source::Logits(&reference))],
        actions: &actions,
        mask: &mask,
    };
    let found = read(&inputs, request, &options)?;
    let wide = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double).to_device(Device::Cpu);
    let weighted = found.iter().enumerate().map(|(index, statistic)| {
        let weights = Tensor::linspace(0.3, 1.7, statistic.numel() as i64, (Kind::Double, Device::Cpu));
        let weights = weights.to_device(statistic.device()).to_kind(statistic.kind()).view_as(statistic);
        (statistic * weights).sum(statistic.kind()) * (1.0 - 0.13 * index as f64)
    });
    let loss = weighted.reduce(|sum, more| sum + more).ok_or("nothing was asked for")?;
    loss.backward();
    Ok(Outcome { statistics: found.iter().map(wide).collect(), gradient: wide(&leaf.grad()) })
}

/// Row statistics as tch has them.
fn read(
    inputs: &RowInputs<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, String> {
    let found = row_statistics(inputs, request, options).map_err(|error| error.to_string())?;
    found.iter().map(|statistic| statistic.tch().map_err(|error| error.to_string())).collect()
}

/// A loss through hidden states: the gradients of all three tensors.
fn hidden(device: Device) -> Result<i64, String> {
    let gradients = |device: Device, kind: Kind, kernels: Kernels| -> Result<Vec<Tensor>, String> {
        tch::manual_seed(2);
        let leaf = |size: &[i64]| {
            let numbers = Tensor::randn(size, (Kind::Double, Device::Cpu)).to_kind(Kind::Float);
            numbers.to_kind(kind).to_device(device).set_requires_grad(true)
        };
        let tensors = [leaf(&[2, 5, 16]), leaf(&[997, 16]), leaf(&[997])];
        let [hidden, weight, bias] = tensors.each_ref().map(Handle::from);
        let actions = Tensor::arange(10, (Kind::Int64, device)).view([2, 5]).into();
        let mask = Tensor::ones([2, 5], (Kind::Bool, device)).into();
        let head = Head::default();
        let source = Source::Hidden(Hidden { hidden: &hidden, weight: &weight, bias: Some(&bias), head });
        let inputs =
            RowInputs { policy: source, references: &[], actions: &actions, mask: &mask, fields: &[] };
        // Three rows at once.
        let options = KernelOptions { chunk_bytes: 3 * 997 * 4, ..KernelOptions::from(kernels) };
        let found = read(&inputs, &of_set(TokenSet::Drop(0.3), 1.0), &options)?;
        (&found[1] + &found[5] * 0.3 + &found[7]).sum(None).backward();
        Ok(tensors.iter().map(|leaf| leaf.grad().to_kind(Kind::Double).to_device(Device::Cpu)).collect())
    };
    let exact = gradients(Device::Cpu, Kind::Double, Kernels::Reference)?;
    for (found, exact) in gradients(device, Kind::Float, Kernels::Auto)?.iter().zip(&exact) {
        let rows = |tensor: &Tensor| tensor.reshape([1, 1, -1]);
        near_by_row(&rows(found), &rows(exact), 1e-4)
            .map_err(|what| format!("through hidden states: {what}"))?;
    }
    Ok(10)
}

/// Number by number, NaN and infinities at the same places.
fn alike(found: &Tensor, exact: &Tensor, tolerance: f64) -> Result<(), String> {
    let size = exact.abs().clamp_min(1.0);
    if found.allclose(exact, tolerance, tolerance, true) {
        return Ok(());
    }
    let apart = ((found - exact).abs() / size).nan_to_num(0.0, None, None).max();
    Err(format!("off by up to {:.2e}, or not finite elsewhere", apart.double_value(&[])))
}

/// Row by row, by the length of the difference.
fn near_by_row(found: &Tensor, exact: &Tensor, tolerance: f64) -> Result<(), String> {
    let nan = |tensor: &Tensor| tensor.isnan();
    let differing = nan(found).logical_xor(&nan(exact)).any_dim(-1, false).nonzero();
    if differing.numel() > 0 {
        let places = Vec::<i64>::try_from(differing.flatten(0, -1)).unwrap_or_default();
        return Err(format!("NaN elsewhere, in batch and time {places:?}"));
    }
    let length =
        |tensor: &Tensor| tensor.nan_to_num(0.0, None, None).square().sum_dim_intlist(-1, false, None).sqrt();
    let off = length(&(found - exact)) - length(exact) * tolerance;
    // What is nearly zero may be rounded to zero.
    let worst = off.max().double_value(&[]);
    if worst <= 1e-7 { Ok(()) } else { Err(format!("a row is off by {worst:.2e} too much")) }
}

/// To the last bit, NaN included.
fn same(one: &Tensor, other: &Tensor) -> bool {
    one.allclose(other, 0.0, 0.0, true)
}
