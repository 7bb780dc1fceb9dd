//! Logits made from hidden states a few rows at a time, against logits that were there as a whole.

use aent::kernels::{Head, Hidden, KernelOptions, Kernels, RowInputs, Source, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::tensor::{DType, Tensor};
use tch::{Device, Kind};

use crate::assert_close;
use crate::rows::{KERNELS, numbers};

const VOCABULARY: i64 = 37;
const WIDTH: i64 = 6;

/// What an output layer takes, all leaves that want a gradient.
struct Layer {
    hidden: Tensor,
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Statistics and gradients of a weighted sum of them.
type Outcome = (Vec<Vec<f64>>, Vec<Vec<f64>>);

impl Layer {
    fn new(dtype: DType, bias: bool) -> Self {
        let leaf = |size: &[i64]| spread(size).to_dtype(dtype).leaf();
        Self {
            hidden: leaf(&[3, 5, WIDTH]),
            weight: leaf(&[VOCABULARY, WIDTH]),
            bias: bias.then(|| leaf(&[VOCABULARY])),
        }
    }

    fn source(&self) -> Source<'_> {
        self.with_head(Head::default())
    }

    fn with_head(&self, head: Head) -> Source<'_> {
        hidden(&self.hidden, &self.weight, self.bias.as_ref(), head)
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.hidden, &self.weight].into_iter().chain(&self.bias)
    }

    fn gradients(&self) -> Vec<Vec<f64>> {
        self.tensors().map(|tensor| numbers(tensor.grad().unwrap())).collect()
    }
}

fn hidden<'a>(hidden: &'a Tensor, weight: &'a Tensor, bias: Option<&'a Tensor>, head: Head) -> Source<'a> {
    Source::Hidden(Hidden { hidden, weight, bias, head })
}

/// A soft cap, a scale, and both. The products of [`spread`] numbers reach from -20 to 20.
fn heads() -> [Head; 3] {
    let head = |softcap, scale| Head { softcap, scale, dtype: None };
    [head(Some(7.0), 1.0), head(None, 0.3), head(Some(4.0), 0.6)]
}

/// Numbers in -2 .. 2, the same in every run: torch's own generator is shared between tests that run at once.
fn spread(size: &[i64]) -> Tensor {
    let count: i64 = size.iter().product();
    let ids = tch::Tensor::arange(count, (Kind::Double, Device::Cpu));
    ((ids * 12.9898 + count as f64).sin() * 2.0).view(size).into()
}

/// 0 to 14.
fn ids() -> Tensor {
    tch::Tensor::arange(15, (Kind::Int64, Device::Cpu)).view([3, 5]).into()
}

fn actions() -> Tensor {
    ids() * 2i64
}

fn mask() -> Tensor {
    ids().remainder(4i64).ne(2i64)
}

fn request() -> Vec<RowStatistic> {
    let of = |set, statistic| RowStatistic::new(set, 0.8, statistic);
    vec![
        of(TokenSet::All, Statistic::LogProb),
        of(TokenSet::Drop(0.3), Statistic::Entropy),
        of(TokenSet::TopP(0.9), Statistic::Mass),
        of(TokenSet::All, Statistic::ReverseKl),
        of(TokenSet::All, Statistic::JensenShannon(0.5)),
    ]
}

fn run(layer: &Layer, policy: Source<'_>, reference: Source<'_>, options: &KernelOptions) -> Outcome {
    let references = &[(None, reference)];
    let inputs = RowInputs { policy, references, actions: &actions(), mask: &mask(), fields: &[] };
    let found = row_statistics(&inputs, &request(), options).unwrap();
    let terms = found.iter().enumerate().map(|(index, statistic)| statistic.sum() * (1.0 + index as f64));
    terms.reduce(|a, b| a + b).unwrap().backward().unwrap();
    (found.iter().map(numbers).collect(), layer.gradients())
}

fn assert_same(found: &Outcome, expected: &Outcome, tolerance: f64, what: &str) {
    for (part, found, expected) in [("value", &found.0, &expected.0), ("gradient", &found.1, &expected.1)] {
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found.len(), expected.len());
            let largest = expected.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_close(
                    *found,
                    *expected,
                    largest,
                    tolerance,
                    &format!("{part} {index} at {at}: {what}"),
                );
            }
        }
    }
}

#[test]
fn hidden_states_give_what_their_logits_give() {
    for bias in [false, true] {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5), (DType::BF16, 2e-2)] {
            // The judge: all logits at once, in f64, under torch's own autograd.
            let layer = Layer::new(dtype, bias);
            let (hidden, weight) = (layer.hidden.to_dtype(DType::F64), layer.weight.to_dtype(DType::F64));
            let bias_wide = layer.bias.as_ref().map(|bias| bias.to_dtype(DType::F64));
            let logits = hidden.linear(&weight, bias_wide.as_ref());
            let reference = Tensor::from(logits.tch().unwrap().detach().flip([2]));
            let wide = Kernels::Reference.into();
            let expected = run(&layer, Source::Logits(&logits), Source::Logits(&reference), &wide);
            let reference = reference.to_dtype(dtype);
            for kernels in KERNELS {
                for chunk_bytes in [1, 3 * VOCABULARY as usize * 8, 1 << 20] {
                    let layer = Layer::new(dtype, bias);
                    let options = KernelOptions { kernels, chunk_bytes, ..KernelOptions::default() };
                    let found = run(&layer, layer.source(), Source::Logits(&reference), &options);
                    let what = format!("{dtype}, {kernels}, chunks of {chunk_bytes} bytes, bias {bias}");
                    assert_same(&found, &expected, tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn a_head_bends_and_scales_its_product() {
    for (head, (dtype, tolerance)) in heads().into_iter().flat_map(|head| {
        [(DType::F64, 1e-12), (DType::F32, 1e-5), (DType::BF16, 2e-2)].map(|kind| (head, kind))
    }) {
        // The judge: the formula on all logits at once, in f64, under torch's own autograd.
        let layer = Layer::new(dtype, true);
        let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64);
        let bias = layer.bias.as_ref().map(wide);
        let scaled = wide(&layer.hidden).linear(&wide(&layer.weight), bias.as_ref()) * head.scale;
        let logits = head.softcap.map_or(scaled.clone(), |cap| (scaled / cap).tanh() * cap);
        let reference = Tensor::from(logits.tch().unwrap().detach().flip([2]));
        let options = Kernels::Reference.into();
        let expected = run(&layer, Source::Logits(&logits), Source::Logits(&reference), &options);
        let reference = reference.to_dtype(dtype);
        for kernels in KERNELS {
            for chunk_bytes in [1, 5 * VOCABULARY as usize * 24, 1 << 20] {
                let layer = Layer::new(dtype, true);
                let options = KernelOptions { kernels, chunk_bytes, ..KernelOptions::default() };
                let found = run(&layer, layer.with_head(head), Source::Logits(&reference), &options);
                let what = format!("{head:?}, {dtype}, {kernels}, chunks of {chunk_bytes} bytes");
                assert_same(&found, &expected, tolerance, &what);
            }
        }
    }
}

#[test]
fn gradients_of_a_bent_head_are_those_of_finite_differences() {
    const STEP: f64 = 1e-6;
    for head in heads() {
        let loss = |of: [&Tensor; 3]| {
            let policy = hidden(of[0], of[1], Some(of[2]), head);
            let inputs =
                RowInputs { policy, references: &[], actions: &actions(), mask: &mask(), fields: &[] };
            row_statistics(&inputs, &request()[..3], &KernelOptions::default())
                .unwrap()
                .iter()
                .map(Tensor::sum)
                .reduce(|a, b| a + b)
                .unwrap()
        };
        let layer = Layer::new(DType::F64, true);
        let tensors: Vec<&Tensor> = layer.tensors().collect();
        loss([tensors[0], tensors[1], tensors[2]]).backward().unwrap();
        for (which, gradient) in layer.gradients().iter().enumerate() {
            for at in (0..gradient.len()).step_by(7) {
                let moved = |by: f64| {
                    let mut all: Vec<Tensor> = layer.tensors().map(Tensor::detach).collect();
                    let size = all[which].size();
                    let mut values = numbers(&all[which]);
                    values[at] += by;
                    all[which] = tch::Tensor::from_slice(&values).view(size.as_slice()).into();
                    numbers(loss([&all[0], &all[1], &all[2]]))[0]
                };
                let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                let found = gradient[at];
                let place = format!("{head:?}, tensor {which} at {at}");
                assert!((found - expected).abs() < 1e-7, "{place}: expected {expected}, found {found}");
            }
        }
    }
}

#[test]
fn a_head_computes_in_the_kind_that_it_is_given() {
    for (given, wanted, tolerance, rounding) in
        [(DType::BF16, DType::F32, 1e-5, 4e-3), (DType::F32, DType::F64, 1e-12, 1e-7)]
    {
        let head = Head { dtype: Some(wanted), ..heads()[2] };
        let reference = spread(&[3, 5, VOCABULARY]);
        let (rounded, reference) = (reference.to_dtype(given), reference.to_dtype(wanted));
        for kernels in KERNELS {
            let layer = Layer::new(given, true);
            // The same numbers, whatever their kind: what rounds is the product alone.
            let wide = Layer {
                hidden: layer.hidden.to_dtype(wanted).leaf(),
                weight: layer.weight.to_dtype(wanted).leaf(),
                bias: layer.bias.as_ref().map(|bias| bias.to_dtype(wanted).leaf()),
            };
            let options = kernels.into();
            let expected = run(&wide, wide.with_head(heads()[2]), Source::Logits(&reference), &options);
            let found = run(&layer, layer.with_head(head), Source::Logits(&reference), &options);
            let what = format!("{given} in {wanted}, {kernels}");
            assert_same(&(found.0, Vec::new()), &(expected.0.clone(), Vec::new()), tolerance, &what);
            assert_same(&(Vec::new(), found.1), &(Vec::new(), expected.1.clone()), rounding, &what);
            for tensor in layer.tensors() {
                assert_eq!(tensor.grad().unwrap().dtype(), given, "{what}");
            }
            // Without it the product is rounded to its own kind.
            let narrow = Layer::new(given, true);
            let narrow = run(&narrow, narrow.with_head(heads()[2]), Source::Logits(&rounded), &options);
            let apart =
                narrow.0.iter().flatten().zip(expected.0.iter().flatten()).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f64::max) > 100.0 * tolerance, "{what}");
        }
    }
}

#[test]
fn the_kinds_of_a_layer_may_differ_where_the_head_says_its_own() {
    let layer = Layer::new(DType::BF16, false);
    let weight = layer.weight.to_dtype(DType::F32).leaf();
    let head = Head { dtype: Some(DType::F32), ..Head::default() };
    let policy = hidden(&layer.hidden, &weight, None, head);
    let inputs = RowInputs { policy, references: &[], actions: &actions(), mask: &mask(), fields: &[] };
    let found = row_statistics(&inputs, &request()[..1], &KernelOptions::default()).unwrap();
    let narrow = RowInputs { policy: layer.with_head(head), ..inputs };
    let expected = row_statistics(&narrow, &request()[..1], &KernelOptions::default()).unwrap();
    assert_eq!(numbers(&found[0]), numbers(&expected[0]));
    found[0].sum().backward().unwrap();
    assert_eq!(weight.grad().unwrap().dtype(), DType::F32);
}

#[test]
fn heads_that_make_no_logits_are_refused() {
    let layer = Layer::new(DType::F32, false);
    let message = |head: Head| {
        let policy = layer.with_head(head);
        let inputs = RowInputs { policy, references: &[], actions: &actions(), mask: &mask(), fields: &[] };
        row_statistics(&inputs, &request()[..1], &KernelOptions::default()).unwrap_err().to_string()
    };
    for wrong in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        let expected = |what: &str| format!("`{what}`: expected a finite number above 0, found {wrong}");
        assert_eq!(message(Head { softcap: Some(wrong), ..Head::default() }), expected("logit_softcap"));
        assert_eq!(message(Head { scale: wrong, ..Head::default() }), expected("logit_scale"));
    }
    assert_eq!(
        message(Head { dtype: Some(DType::I64), ..Head::default() }),
        "`head_dtype`: expected f32, f64, bf16 or f16, found i64"
    );
}

#[test]
fn a_reference_may_be_made_of_hidden_states_too() {
    let layer = Layer::new(DType::F64, true);
    let (other, weight) = (spread(&[3, 5, 4]) * 0.5, spread(&[VOCABULARY, 4]));
    let head = Head { softcap: Some(2.0), scale: 0.8, dtype: None };
    let whole = (other.linear(&weight, None) * 0.4).tanh() * 2.0;
    let options = KernelOptions { chunk_bytes: 2000, ..KernelOptions::default() };
    let expected = run(&layer, layer.source(), Source::Logits(&whole), &options);
    let layer = Layer::new(DType::F64, true);
    let reference = hidden(&other, &weight, None, head);
    assert_same(&run(&layer, layer.source(), reference, &options), &expected, 1e-12, "reference");
}

#[test]
fn only_what_wants_a_gradient_gets_one() {
    let layer = Layer::new(DType::F32, true);
    let frozen = layer.weight.detach();
    let policy = hidden(&layer.hidden, &frozen, layer.bias.as_ref(), heads()[2]);
    let inputs = RowInputs { policy, references: &[], actions: &actions(), mask: &mask(), fields: &[] };
    let found = row_statistics(&inputs, &request()[..1], &KernelOptions::default()).unwrap();
    found[0].sum().backward().unwrap();
    assert!(layer.hidden.grad().is_some() && layer.bias.as_ref().unwrap().grad().is_some());
    assert!(frozen.grad().is_none());
}

#[test]
fn masked_hidden_states_reach_nothing() {
    for kernels in KERNELS {
        let layer = Layer::new(DType::F32, false);
        let poisoned = layer.hidden.detach().masked_fill(&mask().logical_not().unsqueeze(2), f64::NAN).leaf();
        let policy = hidden(&poisoned, &layer.weight, None, heads()[2]);
        let inputs = RowInputs { policy, references: &[], actions: &actions(), mask: &mask(), fields: &[] };
        let found = row_statistics(&inputs, &request()[..3], &kernels.into()).unwrap();
        let clean = RowInputs { policy: layer.with_head(heads()[2]), ..inputs };
        let expected = row_statistics(&clean, &request()[..3], &kernels.into()).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(numbers(found), numbers(expected));
        }
        found.iter().map(Tensor::sum).reduce(|a, b| a + b).unwrap().backward().unwrap();
        let of_poisoned = poisoned.grad().unwrap();
        let gradients = [numbers(&of_poisoned), numbers(layer.weight.grad().unwrap())];
        assert!(gradients.iter().flatten().all(|g| g.is_finite()), "{kernels}");
        let masked = of_poisoned.masked_fill(&mask().unsqueeze(2), 0.0);
        assert!(numbers(&masked).iter().all(|g| *g == 0.0), "{kernels}");
    }
}

#[test]
fn a_batch_without_valid_rows_has_zero_gradients() {
    for kernels in KERNELS {
        let layer = Layer::new(DType::F32, true);
        let none = mask().zeros_like();
        let inputs = RowInputs {
            policy: layer.source(),
            references: &[],
            actions: &actions(),
            mask: &none,
            fields: &[],
        };
        let found = row_statistics(&inputs, &request()[..2], &kernels.into()).unwrap();
        (found[0].sum() + found[1].sum()).backward().unwrap();
        assert!(layer.gradients().iter().flatten().all(|g| *g == 0.0), "{kernels}");
    }
}

#[test]
fn layers_that_do_not_fit_are_refused_by_name() {
    let layer = Layer::new(DType::F32, true);
    let message = |weight: &Tensor, bias: &Tensor| {
        let policy = hidden(&layer.hidden, weight, Some(bias), Head::default());
        let inputs = RowInputs { policy, references: &[], actions: &actions(), mask: &mask(), fields: &[] };
        row_statistics(&inputs, &request()[..1], &KernelOptions::default()).unwrap_err().to_string()
    };
    let (weight, bias) = (&layer.weight, layer.bias.as_ref().unwrap());
    assert_eq!(
        message(&weight.transpose(), bias),
        "`lm_head`: expected [V, 6], as `hidden` has 6 columns, found [6, 37]"
    );
    assert_eq!(
        message(weight, &bias.narrow(0, 0, 5)),
        "`lm_head_bias`: expected [37], as `lm_head` has 37 rows, found [5]"
    );
    assert_eq!(
        message(&weight.to_dtype(DType::F64), bias),
        "`lm_head`: expected f32, as `hidden`, found f64"
    );
}
