//! A batch of the task `sparse-mdp` with two contexts of six actions, of which the first has a success and a failure.

use aent::Batch;
use tch::{Device, Kind, Tensor};

/// The samples that count, both of the first context, as action and advantage.
pub(crate) const SAMPLES: [(i64, f64); 2] = [(3, 0.25), (5, -0.25)];

/// A row for each context, and one for each sample.
pub(crate) fn batch(policy: &Tensor) -> Batch {
    let rows = Tensor::from_slice(&[0i64, 1, 0, 0]);
    let [(success, gain), (failure, loss)] = SAMPLES;
    Batch::new()
        .with("logits", policy.index_select(0, &rows).unsqueeze(1))
        .with("actions", Tensor::from_slice(&[0, 0, success, failure]).unsqueeze(1))
        .with("response_mask", Tensor::ones([4, 1], (Kind::Bool, Device::Cpu)))
        .with("advantages", Tensor::from_slice(&[0.0, 0.0, gain, loss]).unsqueeze(1))
        .with("whole", Tensor::from_slice(&[true, true, false, false]).unsqueeze(1))
}
