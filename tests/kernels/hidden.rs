//! Logits made from hidden states a few rows at a time, against logits that were there as a whole.

use aent::kernels::{Hidden, KernelOptions, Kernels, RowInputs, Source, row_statistics};
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
        Source::Hidden(Hidden { hidden: &self.hidden, weight: &self.weight, bias: self.bias.as_ref() })
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.hidden, &self.weight].into_iter().chain(&self.bias)
    }

    fn gradients(&self) -> Vec<Vec<f64>> {
        self.tensors().map(|tensor| numbers(tensor.grad().unwrap())).collect()
    }
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
fn a_reference_may_be_made_of_hidden_states_too() {
    let layer = Layer::new(DType::F64, true);
    let (other, head) = (spread(&[3, 5, 4]) * 0.5, spread(&[VOCABULARY, 4]));
    let whole = other.linear(&head, None);
    let options = KernelOptions { chunk_bytes: 2000, ..KernelOptions::default() };
    let expected = run(&layer, layer.source(), Source::Logits(&whole), &options);
    let layer = Layer::new(DType::F64, true);
    let reference = Source::Hidden(Hidden { hidden: &other, weight: &head, bias: None });
    assert_same(&run(&layer, layer.source(), reference, &options), &expected, 1e-12, "reference");
}

#[test]
fn only_what_wants_a_gradient_gets_one() {
    let layer = Layer::new(DType::F32, true);
    let frozen = layer.weight.detach();
    let policy = Source::Hidden(Hidden { hidden: &layer.hidden, weight: &frozen, bias: layer.bias.as_ref() });
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
        let policy = Source::Hidden(Hidden { hidden: &poisoned, weight: &layer.weight, bias: None });
        let inputs = RowInputs { policy, references: &[], actions: &actions(), mask: &mask(), fields: &[] };
        let found = row_statistics(&inputs, &request()[..3], &kernels.into()).unwrap();
        let clean = RowInputs { policy: layer.source(), ..inputs };
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
        let policy = Source::Hidden(Hidden { hidden: &layer.hidden, weight, bias: Some(bias) });
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
