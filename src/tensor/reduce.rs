//! Reductions, and operations along a dimension.

use super::{Axis, DType, Reduce, Tensor};

impl Tensor {
    /// The sum of all elements, in its own type.
    #[must_use]
    pub fn sum(&self) -> Self {
        self.sum_in(self.dtype())
    }

    /// The sum of all elements in another type.
    #[must_use]
    pub fn sum_in(&self, dtype: DType) -> Self {
        self.make(|x| x.reduce(Reduce::Sum, &[], false, Some(dtype)))
    }

    /// The sum along a dimension in a type.
    #[must_use]
    pub fn sum_dim(&self, dim: i64, keep: bool, dtype: DType) -> Self {
        self.make(|x| x.reduce(Reduce::Sum, &[dim], keep, Some(dtype)))
    }

    /// The greatest along a dimension; ties share its gradient equally.
    #[must_use]
    pub fn amax(&self, dim: i64, keep: bool) -> Self {
        self.make(|x| x.reduce(Reduce::Amax, &[dim], keep, None))
    }

    /// The least along a dimension.
    #[must_use]
    pub fn amin(&self, dim: i64, keep: bool) -> Self {
        self.make(|x| x.reduce(Reduce::Amin, &[dim], keep, None))
    }

    /// The greatest of all.
    #[must_use]
    pub fn max(&self) -> Self {
        self.make(|x| x.reduce(Reduce::Amax, &[], false, None))
    }

    /// The least of all.
    #[must_use]
    pub fn min(&self) -> Self {
        self.make(|x| x.reduce(Reduce::Amin, &[], false, None))
    }

    /// Whether any is true.
    #[must_use]
    pub fn any(&self) -> Self {
        self.make(|x| x.reduce(Reduce::Any, &[], false, None))
    }

    /// Whether any along a dimension is true.
    #[must_use]
    pub fn any_dim(&self, dim: i64) -> Self {
        self.make(|x| x.reduce(Reduce::Any, &[dim], false, None))
    }

    /// Whether all are true.
    #[must_use]
    pub fn all(&self) -> Self {
        self.make(|x| x.reduce(Reduce::All, &[], false, None))
    }

    /// `ln Σ eˣ` along a dimension.
    #[must_use]
    pub fn logsumexp(&self, dim: i64, keep: bool) -> Self {
        self.make(|x| x.reduce(Reduce::LogSumExp, &[dim], keep, None))
    }

    /// Cumulative sums along a dimension, in a type.
    #[must_use]
    pub fn cumsum(&self, dim: i64, dtype: DType) -> Self {
        self.make(|x| x.axis(Axis::Cumsum, dim, Some(dtype)))
    }

    /// `x - ln Σ eˣ` along a dimension.
    #[must_use]
    pub fn log_softmax(&self, dim: i64) -> Self {
        self.make(|x| x.axis(Axis::LogSoftmax, dim, None))
    }
}
