//! The gradient written over logits that the caller gives up.

use aent::kernels::{KernelOptions, Kernels};
use tch::{Device, Kind, Tensor};

use crate::rows::{SETS, all_moments, numbers, read, spread_rows, tensor};

const OVERWRITES: KernelOptions =
    KernelOptions { kernels: Kernels::Auto, overwrite_logits: true, chunk_bytes: 1 << 20, validate: true };

/// The gradient of the sum of all statistics, whatever the logits are part of.
fn backward(logits: &Tensor, options: &KernelOptions) -> Result<(), tch::TchError> {
    let size = logits.size();
    let mask = Tensor::ones([size[0], size[1]], (Kind::Bool, Device::Cpu));
    let _ = mask.get(0).narrow(0, 1, 1).fill_(0);
    let actions = Tensor::full([size[0], size[1]], 3, (Kind::Int64, Device::Cpu));
    let request: Vec<_> = SETS.into_iter().flat_map(|set| all_moments(set, 1.0)).collect();
    let found = read([logits, &actions, &mask], &request, options).unwrap();
    let all = found.iter().map(|statistic| statistic.sum(None)).reduce(|a, b| a + b).unwrap();
    all.f_backward()
}

#[test]
fn the_gradient_is_the_same_and_lies_where_the_logits_were() {
    for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half] {
        let [kept, given_up] = [(); 2].map(|()| tensor(&spread_rows(), kind).set_requires_grad(true));
        backward(&kept, &KernelOptions::default()).unwrap();
        backward(&given_up, &OVERWRITES).unwrap();
        assert_eq!(numbers(given_up.grad()), numbers(kept.grad()));
        assert_eq!(given_up.grad().data_ptr(), given_up.data_ptr());
        assert_ne!(kept.grad().data_ptr(), kept.data_ptr());
    }
}

#[test]
fn logits_that_do_not_lie_in_rows_are_overwritten_too() {
    let across = || {
        let rows = Tensor::from_slice(&spread_rows().concat()).view([1, 3, 11]);
        rows.transpose(1, 2).contiguous().transpose(1, 2).set_requires_grad(true)
    };
    let [kept, given_up] = [(); 2].map(|()| across());
    assert_eq!(kept.stride(), [33, 1, 3]);
    backward(&kept, &KernelOptions::default()).unwrap();
    backward(&given_up, &OVERWRITES).unwrap();
    assert_eq!(numbers(given_up.grad()), numbers(kept.grad()));
    assert_eq!(given_up.grad().data_ptr(), given_up.data_ptr());
}

#[test]
fn logits_that_share_elements_are_left_alone() {
    let row = Tensor::from_slice(&spread_rows()[0]).view([1, 1, 11]).set_requires_grad(true);
    backward(&row.expand([1, 3, 11], false), &OVERWRITES).unwrap();
    let after = numbers(&row);
    assert_eq!(after, spread_rows()[0]);
    let apart = Tensor::from_slice(&spread_rows()[0]).view([1, 1, 11]).set_requires_grad(true);
    backward(&apart.expand([1, 3, 11], false), &KernelOptions::default()).unwrap();
    assert_eq!(numbers(row.grad()), numbers(apart.grad()));
}

#[test]
fn whoever_saved_the_logits_is_told_that_they_are_gone() {
    let leaf = tensor(&spread_rows(), Kind::Double).set_requires_grad(true);
    // `exp` saves its result, which is what the kernels are told to write over.
    let logits = leaf.exp();
    let error = backward(&logits, &OVERWRITES).unwrap_err();
    assert!(error.to_string().contains("modified by an inplace operation"), "{error}");
}

#[test]
fn a_second_backward_is_refused_once_the_logits_are_gone() {
    let logits = tensor(&spread_rows(), Kind::Double).set_requires_grad(true);
    let mask = Tensor::ones([1, 3], (Kind::Bool, Device::Cpu));
    let actions = Tensor::zeros([1, 3], (Kind::Int64, Device::Cpu));
    let request = all_moments(SETS[0], 1.0);
    let found = read([&logits, &actions, &mask], &request, &OVERWRITES).unwrap();
    let loss = found[5].sum(None);
    let _ = Tensor::run_backward(&[&loss], &[&logits], true, false);
    let error = Tensor::f_run_backward(&[&loss], &[&logits], false, false).unwrap_err();
    assert!(error.to_string().contains("modified by an inplace operation"), "{error}");
}
