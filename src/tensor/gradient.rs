//! Gradients: what flows, and nodes whose backward pass is ours.

use super::host::{Guard, HostTensor};
use super::{Tensor, TensorError};

/// What a node's backward pass is, whoever hosts it.
pub trait Backward: Send + Sync {
    /// The gradients of the inputs, where they are wanted, from the cotangents of the values. A gradient may lie in the
    /// storage of its input.
    fn backward(
        &self,
        inputs: &[Tensor],
        saved: &[Tensor],
        values: &Tensor,
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, Box<dyn std::error::Error + Send + Sync>>;
}

/// The tensors of a node. The host keeps all of them, and the values, for the backward pass, and refuses to compute it once any
/// of these was changed in place.
#[derive(Debug)]
pub struct Differentiated<'a> {
    /// What gradients flow to.
    pub inputs: &'a [&'a Tensor],
    /// What else the backward pass reads.
    pub saved: &'a [&'a Tensor],
}

impl Tensor {
    /// The same elements without a gradient.
    #[must_use]
    pub fn detach(&self) -> Self {
        self.make(|x| x.detach())
    }

    /// The same elements as a leaf that gradients flow to.
    #[must_use]
    pub fn leaf(&self) -> Self {
        self.make(|x| x.leaf())
    }

    /// Whether a gradient flows to it.
    pub fn requires_grad(&self) -> bool {
        self.host_tensor().is_ok_and(HostTensor::requires_grad)
    }

    /// The gradient that reached a leaf, if one did.
    pub fn grad(&self) -> Option<Self> {
        self.host_tensor().ok()?.grad().map(Self::new)
    }

    /// Sends the gradient of a scalar back through the graph.
    ///
    /// # Errors
    /// When nothing it was computed from takes a gradient, and whatever the host refuses.
    pub fn backward(&self) -> Result<(), TensorError> {
        self.host_tensor()?.backward()
    }

    /// These values as a result of the inputs, whose gradients `backward` computes.
    #[must_use]
    pub fn attach(&self, node: Differentiated<'_>, backward: Box<dyn Backward>) -> Self {
        self.make(|x| x.attach(node, backward))
    }

    /// Until the guard is dropped, nothing that this thread computes with the tensor's host is recorded for a gradient.
    pub fn no_grad(&self) -> Option<Guard> {
        self.host_tensor().ok().map(|x| x.host().record_gradient(false))
    }

    /// Until the guard is dropped, what this thread computes is recorded, whatever holds outside.
    pub fn with_grad(&self) -> Option<Guard> {
        self.host_tensor().ok().map(|x| x.host().record_gradient(true))
    }

    /// Until the guard is dropped, automatic mixed precision leaves this thread's operations alone.
    pub fn no_autocast(&self) -> Option<Guard> {
        self.host_tensor().ok().map(HostTensor::no_autocast)
    }
}
