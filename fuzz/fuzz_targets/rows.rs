//! Whatever statistics are asked for, of whatever views of memory: the request is refused, or its values and its gradient are those
//! of copies, and nothing but the gradient is written.
#![no_main]

use aent::kernels::{KernelOptions, Kernels, RowInputs, Source, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::tensor::Tensor as Handle;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use tch::{Device, Kind, Tensor};

/// A request in few bytes.
#[derive(Arbitrary, Debug)]
struct Asked {
    kind: u8,
    sizes: [u8; 3],
    /// Of the logits, the reference, the actions and the mask.
    views: [View; 4],
    /// Which of the tensors has another shape or kind, if any.
    wrong: u8,
    statistics: Vec<One>,
    /// The numbers in memory, over and over.
    numbers: Vec<u8>,
    seed: u8,
    overwrites: bool,
    reference_kernels: bool,
    validates: bool,
    chunk_bytes: u16,
}

#[derive(Arbitrary, Debug)]
struct View {
    strides: [u8; 3],
    begin: u8,
}

#[derive(Arbitrary, Debug)]
struct One {
    statistic: u8,
    set: u8,
    share: u8,
    temperature: u8,
}

impl One {
    fn asked(&self) -> RowStatistic {
        let share = f64::from(self.share) / 255.0;
        let set = match self.set % 6 {
            0 => TokenSet::All,
            1 => TokenSet::Drop(share),
            2 => TokenSet::TopK(i64::from(self.share)),
            3 => TokenSet::TopP(share),
            4 => TokenSet::MinP(share),
            _ => TokenSet::Drop(1.0 - f64::EPSILON),
        };
        let compared = [Statistic::ReverseKl, Statistic::ForwardKl, Statistic::JensenShannon(share)];
        let statistics: Vec<Statistic> = Statistic::OF_POLICY.into_iter().chain(compared).collect();
        let temperature =
            [1.0, 0.7, 1e-30, 1e30, 0.0, f64::NAN, -1.0, 2.0][usize::from(self.temperature % 8)];
        RowStatistic::new(set, temperature, statistics[usize::from(self.statistic) % statistics.len()])
    }
}

impl View {
    /// A view of that shape, and the memory that it looks at.
    fn of(&self, size: &[i64], kind: Kind, number: impl Fn(usize) -> f64) -> (Tensor, Tensor) {
        let strides: Vec<i64> = self.strides[3 - size.len()..].iter().map(|x| i64::from(x % 80)).collect();
        let last: i64 = size.iter().zip(&strides).map(|(size, stride)| (size - 1).max(0) * stride).sum();
        let begin = i64::from(self.begin % 17);
        let numbers: Vec<f64> = (0..(begin + last + 9) as usize).map(number).collect();
        let memory = Tensor::from_slice(&numbers).to_kind(kind);
        (memory.as_strided(size, &strides, begin), memory)
    }
}

/// Values and gradient as bits, or why there are none.
type Outcome = Result<(Vec<u64>, Vec<u64>), String>;

fn outcome(tensors: [&Tensor; 4], request: &[RowStatistic], options: &KernelOptions) -> Outcome {
    let [logits, reference, actions, mask] = tensors.map(Handle::from);
    let references = [(None, Source::Logits(&reference))];
    let inputs = RowInputs { references: &references, ..RowInputs::new(&logits, &actions, &mask) };
    let found = row_statistics(&inputs, request, options).map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let found: Vec<Tensor> =
        found.iter().map(|of| of.tch().expect("tensors of tch are given back")).collect();
    let values = Tensor::stack(&found, 0);
    if values.requires_grad() {
        let weights = Tensor::arange(values.numel() as i64, (values.kind(), Device::Cpu));
        (&values * weights.view_as(&values).sin()).sum(None).backward();
    }
    let gradient = tensors[0].grad();
    Ok((bits(&values), if gradient.defined() { bits(&gradient) } else { Vec::new() }))
}

/// One NaN is as good as another.
fn bits(tensor: &Tensor) -> Vec<u64> {
    let flat = tensor.detach().to_kind(Kind::Double).flatten(0, -1).contiguous();
    let numbers: Vec<f64> = Vec::try_from(flat).expect("a flat tensor of f64 is a vector");
    numbers.into_iter().map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }).collect()
}

fuzz_target!(|asked: Asked| {
    tch::set_num_threads(1);
    let kind = [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half][usize::from(asked.kind % 4)];
    let [sequences, width, vocabulary] = asked.sizes.map(i64::from);
    let size = [sequences % 4, width % 4, if vocabulary > 250 { 1100 } else { vocabulary % 71 }];
    let byte = |at: usize| asked.numbers.get(at % asked.numbers.len().max(1)).copied().unwrap_or(asked.seed);
    let logit = |at: usize| match byte(at) {
        255 => f64::NAN,
        254 => f64::INFINITY,
        253 => f64::NEG_INFINITY,
        252 => 6e4,
        251 => -6e4,
        other => (f64::from(other) - 128.0) / 8.0,
    };
    let request: Vec<RowStatistic> = asked.statistics.iter().take(8).map(One::asked).collect();
    let is_wrong = |tensor: u8| asked.wrong % 16 == tensor;
    let kind_of = |tensor: u8, kind: Kind| if is_wrong(tensor + 8) { Kind::Int } else { kind };
    let size_of = |tensor: u8, size: &[i64]| {
        let mut size = size.to_vec();
        if is_wrong(tensor) {
            size[0] += 1;
        }
        size
    };
    let [logits, reference, actions, mask] = &asked.views;
    let (logits, memory) = logits.of(&size_of(0, &size), kind_of(0, kind), logit);
    let (reference, _) = reference.of(&size_of(1, &size), kind_of(1, kind), |at| logit(at + 3));
    // Most are token ids, and some are anything.
    let id = |at: usize| match byte(at + 5) {
        255 => -1.0,
        254 => 1e18,
        other => f64::from(other) % (size[2].max(1) as f64),
    };
    let (actions, _) = actions.of(&size_of(2, &size[..2]), kind_of(2, Kind::Int64), id);
    let (mask, _) = mask.of(&size_of(3, &size[..2]), kind_of(3, Kind::Bool), |at| f64::from(byte(at) % 3));
    let options = KernelOptions {
        kernels: if asked.reference_kernels { Kernels::Reference } else { Kernels::Auto },
        overwrite_logits: false,
        chunk_bytes: usize::from(asked.chunk_bytes),
        validate: asked.validates,
    };
    let leaf = |tensor: &Tensor| {
        let leaf = tensor.detach();
        if leaf.is_floating_point() { leaf.set_requires_grad(true) } else { leaf }
    };
    let copies =
        [leaf(&logits.contiguous()), reference.contiguous(), actions.contiguous(), mask.contiguous()];
    let expected = outcome(copies.each_ref(), &request, &options);
    let before = bits(&memory);
    for overwrite_logits in [false, asked.overwrites] {
        let options = KernelOptions { overwrite_logits, ..options };
        // It looks at the same memory.
        let logits = leaf(&logits);
        assert_eq!(outcome([&logits, &reference, &actions, &mask], &request, &options), expected);
        if !overwrite_logits {
            assert_eq!(bits(&memory), before);
        }
    }
});
