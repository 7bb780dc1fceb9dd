//! Tensors without memory or of another layout: refused by name before a kernel sees them, or read as torch reads them.

use crate::{assert_says, field, numbers, plain, session, without};
use aent::kernels::KernelOptions;
use aent::kernels::{KernelError, RowInputs, row_statistics};
use aent::rows::RowStatistic;
use aent::rows::{Statistic, TokenSet};
use aent::tensor::Tensor as Handle;
use aent::{Batch, Error, Options, Session, compile};
use std::error::Error as _;
use tch::{Device, Kind, Tensor};

/// Reads every field of `batch`, and compares with the reference.
const EVERYTHING: &str =
    "loss = token_mean(clip_ppo() + forward_kl()) + batch_mean(rewards - group_mean(rewards))";

fn batch() -> Batch {
    plain().with("ref_logits", crate::logits(3, Kind::Float).detach())
}

/// Zeros that torch never fills in: no pointer leads to them.
fn unfilled(like: &Tensor) -> Tensor {
    Tensor::f_internal_efficientzerotensor(like.size(), (like.kind(), like.device())).unwrap()
}

fn from_hidden_states() -> Batch {
    let float = (Kind::Float, Device::Cpu);
    without("logits")
        .with("hidden", Tensor::arange(18, float).sin().view([2, 3, 3]).set_requires_grad(true))
        .with("lm_head", Tensor::arange(12, float).cos().view([4, 3]).set_requires_grad(true))
        .with("lm_head_bias", Tensor::arange(4, float).sin())
}

#[test]
fn logits_without_memory_are_refused_by_name() {
    for name in ["logits", "ref_logits"] {
        let plain = batch();
        let lazy = unfilled(&field(&plain, name));
        let error = session(EVERYTHING).forward(&plain.with(name, lazy)).unwrap_err();
        assert!(matches!(error, Error::Field { .. }), "{error}");
        assert_says(&error, &["logits`: expected a plain tensor with values in memory"]);
    }
}

#[test]
fn a_kernel_sees_no_null_pointer_of_its_inputs() {
    let logits = crate::logits(0, Kind::Float);
    let [actions, mask] = ["actions", "response_mask"].map(|name| plain().get(name).unwrap().clone());
    let request = [RowStatistic::new(TokenSet::All, 1.0, Statistic::LogProb)];
    let lazy = unfilled(&logits).into();
    let inputs = RowInputs::new(&lazy, &actions, &mask);
    let refused = row_statistics(&inputs, &request, &KernelOptions::default());
    assert!(matches!(refused, Err(KernelError::Tensor { name: "logits", .. })), "{refused:?}");
    let sparse = logits.detach().to_sparse_sparse_dim(1).into();
    let inputs = RowInputs::new(&sparse, &actions, &mask);
    let refused = row_statistics(&inputs, &request, &KernelOptions::default());
    assert!(matches!(refused, Err(KernelError::Tensor { name: "logits", .. })), "{refused:?}");
}

#[test]
fn other_fields_may_be_zeros_that_were_never_filled_in() {
    let session = session(EVERYTHING);
    for name in ["actions", "response_mask", "old_log_prob", "advantages", "rewards", "group"] {
        let zeros = field(&batch(), name).zeros_like();
        let lazy = unfilled(&zeros);
        let expected = session.forward(&batch().with(name, zeros)).unwrap();
        let found = session.forward(&batch().with(name, lazy)).unwrap();
        assert_eq!(numbers(found.loss()), numbers(expected.loss()), "{name}");
    }
}

#[test]
fn an_output_layer_of_zeros_that_were_never_filled_in_is_read_or_refused() {
    let session = session("loss = token_mean(clip_ppo())");
    for name in ["hidden", "lm_head", "lm_head_bias"] {
        let zeros = field(&from_hidden_states(), name).zeros_like();
        let lazy = unfilled(&zeros);
        let expected = session.forward(&from_hidden_states().with(name, zeros)).unwrap();
        match session.forward(&from_hidden_states().with(name, lazy)) {
            Ok(found) => assert_eq!(numbers(found.loss()), numbers(expected.loss()), "{name}"),
            Err(error) => assert_says(&error, &["plain tensor with values in memory"]),
        }
    }
}

#[test]
fn a_gradient_without_memory_is_zero_or_an_error() {
    let logits = crate::logits(0, Kind::Float);
    let output = session("loss = token_mean(clip_ppo())").forward(&crate::batch(&logits)).unwrap();
    // Multiplied with zeros that were never filled in, so that such zeros come back.
    let loss = output.loss().tch().unwrap();
    let loss = &loss * unfilled(&loss);
    match loss.f_backward() {
        Ok(()) => assert!(numbers(logits.grad()).iter().all(|number| *number == 0.0)),
        Err(error) => assert!(error.to_string().contains("plain tensor"), "{error}"),
    }
}

#[test]
fn every_field_in_a_sparse_layout_is_refused_by_name() {
    for kernels in [aent::Kernels::Auto, aent::Kernels::Reference] {
        let options = Options { kernels, ..Options::default() };
        let session = Session::with(compile(EVERYTHING).unwrap(), options);
        let names: Vec<String> = batch().iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let sparse = field(&batch(), &name).detach().to_sparse_sparse_dim(1);
            let error = session.forward(&batch().with(&*name, sparse)).unwrap_err();
            assert!(matches!(&error, Error::Field { name: of, .. } if *of == name), "{name}: {error}");
            assert_says(&error, &["expected a strided tensor", "sparse"]);
        }
    }
    for name in ["hidden", "lm_head", "lm_head_bias"] {
        let sparse = field(&from_hidden_states(), name).detach().to_sparse_sparse_dim(1);
        let error = session("loss = token_mean(clip_ppo())")
            .forward(&from_hidden_states().with(name, sparse))
            .unwrap_err();
        assert!(matches!(&error, Error::Field { name: of, .. } if of == name), "{name}: {error}");
    }
}

#[test]
fn an_undefined_tensor_is_refused_by_name() {
    let names: Vec<String> = batch().iter().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let error = session(EVERYTHING).forward(&batch().with(&*name, Tensor::new())).unwrap_err();
        assert!(matches!(&error, Error::Field { name: of, .. } if *of == name), "{name}: {error}");
        assert_says(&error, &["found an undefined one"]);
    }
}

#[test]
fn an_error_of_libtorch_is_one_line_without_its_stack() {
    let refused = Handle::from(Tensor::from(1.0)).reshape(&[2, 2]).ok().unwrap_err();
    let whole = refused.source().unwrap().to_string();
    assert!(whole.contains('\n'), "libtorch has a trace of its stack: {whole}");
    assert_says(&Error::from(refused.clone()), &["torch: shape"]);
    assert!(!KernelError::from(refused).to_string().contains('\n'));
}
