//! The handle to a host's tensors: errors travel, reads are checked, and tch's tensors are shared both ways.

use aent::host::Libtorch;
use aent::tensor::{DType, Device, Host, Tensor};
use tch::Kind;

fn numbers(elements: &[f64], size: &[i64]) -> Tensor {
    Tensor::from_slice(&Libtorch, elements, size)
}

#[test]
fn the_first_error_travels_through_whatever_is_computed_from_it() {
    let x = numbers(&[1.0, 2.0, 3.0], &[3]);
    let wrong = &x + numbers(&[1.0, 2.0], &[2]);
    let first = wrong.clone().ok().unwrap_err().to_string();
    assert!(first.contains("must match the size"), "{first}");
    let later = [
        (wrong.exp() * 2.0 - &x).sum(),
        &x / wrong.reshape(&[1, 1]),
        x.gt(0.0).where_cond(&x, &wrong),
        Tensor::cat(&[x.clone(), wrong.clone()], 0),
        Tensor::stack(std::slice::from_ref(&wrong), 0).to_dtype(DType::F32),
        x.gather(0, &wrong),
        wrong.sort(0, true)[1].clone(),
    ];
    for later in later {
        assert_eq!(later.f64_at(&[]).unwrap_err().to_string(), first);
    }
    assert_eq!((wrong.size(), wrong.length(0), wrong.requires_grad()), (vec![], 0, false));
    assert!(wrong.backward().is_err() && wrong.grad().is_none() && wrong.no_grad().is_none());
}

#[test]
fn a_tensor_that_cannot_be_made_says_what_is_missing() {
    let none = Tensor::cat(&[], 0).ok().unwrap_err().to_string();
    assert!(none.contains("`cat` of no tensors"), "{none}");
    let short = Tensor::from_bytes(&Libtorch, DType::F32, &[2], &[0; 7]).ok().unwrap_err().to_string();
    assert_eq!(short, "expected 8 bytes for [2] of f32, found 7");
    let no_type = numbers(&[1.0], &[1]).to_dtype(DType::Other("u16")).ok().unwrap_err().to_string();
    assert!(no_type.contains("u16"), "{no_type}");
}

#[test]
fn one_number_is_read_where_there_is_one() {
    let x = numbers(&[1.5, 2.5, -3.5, 4.0], &[2, 2]);
    assert_eq!((x.f64_at(&[1, 0]).unwrap(), x.i64_at(&[1, 1]).unwrap()), (-3.5, 4));
    let error = x.f64_at(&[1]).unwrap_err().to_string();
    assert_eq!(error, "expected one element at [1] of a tensor of shape [2, 2]");
    assert!(x.f64_at(&[2, 0]).is_err());
    assert_eq!(x.gt(2.0).to_u8s().unwrap(), [0, 1, 0, 1]);
    assert_eq!(x.to_dtype(DType::F32).to_bytes().unwrap()[..4], 1.5f32.to_le_bytes());
}

#[test]
fn softplus_has_all_digits_of_large_numbers() {
    let x = tch::Tensor::from_slice(&[-800.0, -30.0, 0.5, 19.9, 20.1, 25.0, 800.0]).set_requires_grad(true);
    let found = Tensor::from(&x).softplus();
    found.sum().backward().unwrap();
    let [numbers, slopes] = [Tensor::from(&x), Tensor::from(&x.grad())].map(|of| of.to_f64s().unwrap());
    for ((x, found), slope) in numbers.into_iter().zip(found.to_f64s().unwrap()).zip(slopes) {
        let expected = x.max(0.0) + (-x.abs()).exp().ln_1p();
        assert!((found - expected).abs() <= 4e-16 * expected, "softplus({x}) is {expected}, found {found}");
        let expected = 1.0 / (1.0 + (-x).exp());
        assert!(
            (slope - expected).abs() <= 4e-16 * expected,
            "its slope at {x} is {expected}, found {slope}"
        );
    }
}

#[test]
fn elements_of_any_layout_are_read_in_their_order() {
    let x = numbers(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    assert_eq!(x.transpose().to_f64s().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(x.narrow(1, 1, 1).expand(&[2, 2]).to_f64s().unwrap(), [2.0, 2.0, 5.0, 5.0]);
    assert_eq!(x.pad(1, 0).to_f64s().unwrap(), [0.0, 1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0]);
    let (index, count) = Tensor::from_slice(&Libtorch, &[7i64, -2, 7, 40], &[4]).unique().unwrap();
    assert_eq!((index.to_i64s().unwrap(), count), (vec![1, 0, 1, 2], 3));
}

#[test]
fn tensors_of_tch_are_shared_both_ways() {
    let own = tch::Tensor::from_slice(&[1f32, 2.0]).set_requires_grad(true);
    let handle = Tensor::from(&own);
    assert_eq!((handle.dtype(), handle.device(), handle.requires_grad()), (DType::F32, Device::Cpu, true));
    (handle.square() * 3.0).sum().backward().unwrap();
    assert_eq!(Vec::<f32>::try_from(own.grad()).unwrap(), [6.0, 12.0]);
    let back = handle.detach().tch().unwrap();
    assert_eq!(back.data_ptr(), own.data_ptr());
    let detached = handle.detach();
    detached.add_(&Tensor::from(tch::Tensor::from_slice(&[1f32, 1.0]))).unwrap();
    assert_eq!(Vec::<f32>::try_from(own.to_kind(Kind::Float).detach()).unwrap(), [2.0, 3.0]);
}

#[test]
fn gradients_are_recorded_as_the_guards_say() {
    let x = numbers(&[2.0], &[]).leaf();
    {
        let _untracked = x.no_grad();
        assert!(!x.exp().requires_grad());
        let tracked = x.with_grad();
        assert!(x.exp().requires_grad());
        drop(tracked);
        assert!(!x.exp().requires_grad());
    }
    assert!(x.exp().requires_grad());
    assert_eq!(Libtorch.name(), "libtorch");
}
