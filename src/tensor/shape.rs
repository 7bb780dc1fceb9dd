//! Reshaping, moving and joining tensors, and matrix products.

use super::{Device, Reshape, Tensor, TensorError};

impl Tensor {
    fn reshaped(&self, shape: Reshape<'_>) -> Self {
        self.make(|x| x.reshape(shape))
    }

    /// The same elements in another shape.
    #[must_use]
    pub fn reshape(&self, size: &[i64]) -> Self {
        self.reshaped(Reshape::To(size))
    }

    /// The same elements in the shape of another tensor.
    #[must_use]
    pub fn reshape_as(&self, other: &Self) -> Self {
        self.reshape(&other.size())
    }

    /// Repeats dimensions of length 1, without a copy.
    #[must_use]
    pub fn expand(&self, size: &[i64]) -> Self {
        self.reshaped(Reshape::Expand(size))
    }

    /// Inserts a dimension of length 1.
    #[must_use]
    pub fn unsqueeze(&self, dim: i64) -> Self {
        self.reshaped(Reshape::Unsqueeze(dim))
    }

    /// Removes a dimension of length 1.
    #[must_use]
    pub fn squeeze(&self, dim: i64) -> Self {
        self.reshaped(Reshape::Squeeze(dim))
    }

    /// Merges the dimensions `from` to `to` into one.
    #[must_use]
    pub fn flatten(&self, from: i64, to: i64) -> Self {
        self.reshaped(Reshape::Flatten(from, to))
    }

    /// `length` elements along a dimension from `start` on.
    #[must_use]
    pub fn narrow(&self, dim: i64, start: i64, length: i64) -> Self {
        self.reshaped(Reshape::Narrow(dim, start, length))
    }

    /// One element along a dimension, which is removed.
    #[must_use]
    pub fn select(&self, dim: i64, index: i64) -> Self {
        self.narrow(dim, index, 1).squeeze(dim)
    }

    /// The transpose of a matrix.
    #[must_use]
    pub fn transpose(&self) -> Self {
        self.reshaped(Reshape::Transpose)
    }

    /// Pads the last dimension with zeros before and after.
    #[must_use]
    pub fn pad(&self, before: i64, after: i64) -> Self {
        self.reshaped(Reshape::Pad(before, after))
    }

    /// Contiguous in memory, in the order of its elements.
    #[must_use]
    pub fn contiguous(&self) -> Self {
        self.reshaped(Reshape::Contiguous)
    }

    /// Moves to another device; the tensor itself if it is there.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Self {
        if self.device() == device {
            return self.clone();
        }
        self.make(|x| x.to_device(device))
    }

    /// Concatenates tensors along a dimension; there must be at least one.
    #[must_use]
    pub fn cat(tensors: &[Self], dim: i64) -> Self {
        let [first, others @ ..] = tensors else {
            return Self::failed(TensorError::new("`cat` of no tensors"));
        };
        first.make(|first| {
            let others = others.iter().map(Self::host_tensor).collect::<Result<Vec<_>, _>>()?;
            first.cat(&others, dim)
        })
    }

    /// Stacks tensors of one shape along a new dimension; there must be at least one.
    #[must_use]
    pub fn stack(tensors: &[Self], dim: i64) -> Self {
        Self::cat(&tensors.iter().map(|x| x.unsqueeze(dim)).collect::<Vec<_>>(), dim)
    }

    /// The product of two matrices.
    #[must_use]
    pub fn mm(&self, right: &Self) -> Self {
        self.make_with(right, |x, y| x.mm(y))
    }

    /// `self · weightᵀ + bias`.
    #[must_use]
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Self {
        self.make(|x| {
            let bias = bias.map(Self::host_tensor).transpose()?;
            x.linear(weight.host_tensor()?, bias)
        })
    }
}
