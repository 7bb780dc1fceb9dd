//! Any view of memory is read as its copy is, and nothing beside it is written: sizes of zero, strides that skip, overlap or stand
//! still, and rows that begin anywhere.

use crate::rows::{SETS, all_moments, numbers, read};
use aent::kernels::{KernelOptions, Kernels};
use proptest::prelude::*;
use tch::{Kind, Tensor};

const OVERWRITES: KernelOptions =
    KernelOptions { kernels: Kernels::Auto, overwrite_logits: true, chunk_bytes: 1 << 12, validate: true };

/// A view: sizes, strides and where it begins.
#[derive(Clone, Debug)]
struct View {
    size: Vec<i64>,
    stride: Vec<i64>,
    begin: i64,
}

impl View {
    /// How many elements the memory has: some more than the view reaches.
    fn room(&self) -> i64 {
        let last = self.size.iter().zip(&self.stride).map(|(size, stride)| (size - 1).max(0) * stride);
        self.begin + last.sum::<i64>() + 9
    }

    fn of(&self, memory: &Tensor) -> Tensor {
        memory.as_strided(&self.size, &self.stride, self.begin)
    }

    /// Which elements of the memory it has.
    fn touched(&self) -> Vec<bool> {
        let mut touched = vec![false; self.room() as usize];
        let count: i64 = self.size.iter().product();
        for place in 0..count {
            let (mut rest, mut at) = (place, self.begin);
            for (size, stride) in self.size.iter().zip(&self.stride).rev() {
                at += rest % size * stride;
                rest /= size;
            }
            touched[at as usize] = true;
        }
        touched
    }
}

fn view(size: &[i64]) -> impl Strategy<Value = View> + use<> {
    // Rows one behind the other, or anything.
    let width = size.last().copied().unwrap_or(1);
    let each = prop_oneof![Just(1), Just(width), Just(3 * width), 0..70i64];
    (Just(size.to_owned()), prop::collection::vec(each, size.len()), 0..17i64)
        .prop_map(|(size, stride, begin)| View { size, stride, begin })
}

#[derive(Debug)]
struct Case {
    logits: View,
    actions: View,
    mask: View,
    kind: Kind,
    set: usize,
    seed: i64,
}

fn cases() -> impl Strategy<Value = Case> {
    let kinds = prop::sample::select(vec![Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half]);
    let sizes = (0..4i64, 0..4i64, prop_oneof![1..9i64, 9..70i64, Just(1100)]);
    (sizes, kinds, 0..SETS.len(), 0..1000i64).prop_flat_map(|((b, t, v), kind, set, seed)| {
        (view(&[b, t, v]), view(&[b, t]), view(&[b, t])).prop_map(move |(logits, actions, mask)| Case {
            logits,
            actions,
            mask,
            kind,
            set,
            seed,
        })
    })
}

fn memory(view: &View, seed: i64) -> Tensor {
    let places = Tensor::arange(view.room(), (Kind::Double, tch::Device::Cpu));
    // Few values, so that there are ties.
    ((places * 0.7 + seed as f64).sin() * 16.0).round() / 4.0
}

/// Values, and the gradient of a weighted sum of them.
fn outcome(tensors: [&Tensor; 3], set: usize, options: &KernelOptions) -> (Vec<f64>, Vec<f64>) {
    let found = read(tensors, &all_moments(SETS[set], 0.9), options).unwrap();
    let values = Tensor::stack(&found, 0);
    let weights =
        Tensor::arange(values.numel() as i64, (values.kind(), values.device())).view_as(&values).sin();
    (&values * weights).sum(None).backward();
    (numbers(&values), numbers(tensors[0].grad()))
}

fn judge(case: &Case) {
    let given = memory(&case.logits, case.seed).to_kind(case.kind);
    let vocabulary = case.logits.size[2];
    let actions = memory(&case.actions, case.seed + 1).to_kind(Kind::Int64).remainder(vocabulary);
    let actions = case.actions.of(&actions);
    let mask = case.mask.of(&memory(&case.mask, case.seed + 2).gt(-2.0));
    let copied = case.logits.of(&given).contiguous().detach().set_requires_grad(true);
    let copies = [&copied, &actions.contiguous(), &mask.contiguous()];
    let expected = outcome(copies, case.set, &KernelOptions::default());
    for options in [KernelOptions::default(), OVERWRITES] {
        let memory = given.copy();
        let logits = case.logits.of(&memory).detach().set_requires_grad(true);
        let found = outcome([&logits, &actions, &mask], case.set, &options);
        assert!(found == expected, "{case:?}\nfound {found:?}\nexpected {expected:?}");
        let touched = case.logits.touched();
        let kept = |tensor: &Tensor| -> Vec<f64> {
            let all = numbers(tensor).into_iter().zip(&touched);
            all.filter(|(_, touched)| !**touched || !options.overwrite_logits)
                .map(|(number, _)| number)
                .collect()
        };
        assert_eq!(kept(&memory), kept(&given), "beside the view\n{case:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(300, |text| text.parse().unwrap()), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_view_is_read_as_its_copy_and_nothing_beside_it_is_written(case in cases()) {
        judge(&case);
    }
}
