//! Gradients: recording them, and graph nodes with a backward pass in Rust.

use super::host::{Guard, HostTensor};
use super::{Tensor, TensorError};

/// The backward pass of a graph node, for any host.
pub trait Backward: Send + Sync {
    /// Computes the wanted gradients of the inputs from the cotangents of the values.
    fn backward(
        &self,
        inputs: &[Tensor],
        saved: &[Tensor],
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, Box<dyn std::error::Error + Send + Sync>>;

    /// Whether a gradient may share the storage of its input.
    fn overwrites(&self) -> bool;
}

/// The tensors of a graph node. The host keeps them for the backward pass, and refuses that pass if any of them was
/// changed in place.
#[derive(Debug)]
pub struct Differentiated<'a> {
    /// The tensors that gradients flow to.
    pub inputs: &'a [&'a Tensor],
    /// Further tensors that the backward pass reads.
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

    /// The gradient of a leaf, if one has arrived.
    pub fn grad(&self) -> Option<Self> {
        self.host_tensor().ok()?.grad().map(Self::new)
    }

    /// Backpropagates from a scalar through the graph.
    ///
    /// # Errors
    /// When no operand requires a gradient, or the host refuses.
    pub fn backward(&self) -> Result<(), TensorError> {
        self.host_tensor()?.backward()
    }

    /// Attaches these values to the graph as a result of the inputs, whose gradients `backward` computes.
    #[must_use]
    pub fn attach(self, node: Differentiated<'_>, backward: Box<dyn Backward>) -> Self {
        self.make(|x| x.attach(node, backward))
    }

    /// Stops this thread from recording gradients with the tensor's host until the guard is dropped.
    pub fn no_grad(&self) -> Option<Guard> {
        self.host_tensor().ok().map(|x| x.host().record_gradient(false))
    }

    /// Makes this thread record gradients until the guard is dropped.
    pub fn with_grad(&self) -> Option<Guard> {
        self.host_tensor().ok().map(|x| x.host().record_gradient(true))
    }

    /// Turns automatic mixed precision off in this thread until the guard is dropped.
    pub fn no_autocast(&self) -> Option<Guard> {
        self.host_tensor().ok().map(HostTensor::no_autocast)
    }
}
