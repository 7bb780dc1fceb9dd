//! Elements by their numbers, and in order.

use super::{Scalar, Scatter, Tensor, TensorError};

impl Tensor {
    /// Elements along a dimension by their numbers, `[K]`.
    #[must_use]
    pub fn index_select(&self, dim: i64, index: &Self) -> Self {
        self.make_with(index, |x, index| x.index_select(dim, index))
    }

    /// One element along a dimension for each index, of the index's shape.
    #[must_use]
    pub fn gather(&self, dim: i64, index: &Self) -> Self {
        self.make_with(index, |x, index| x.gather(dim, index))
    }

    /// A copy to which values are added at the numbers of lines along a dimension.
    #[must_use]
    pub fn index_add(&self, dim: i64, index: &Self, values: &Self) -> Self {
        self.scatter(Scatter::IndexAdd, dim, index, values)
    }

    /// A copy with values at the numbers of lines along a dimension.
    #[must_use]
    pub fn index_copy(&self, dim: i64, index: &Self, values: &Self) -> Self {
        self.scatter(Scatter::IndexCopy, dim, index, values)
    }

    /// A copy to which values are added, each at its index along a dimension.
    #[must_use]
    pub fn scatter_add(&self, dim: i64, index: &Self, values: &Self) -> Self {
        self.scatter(Scatter::ScatterAdd, dim, index, values)
    }

    fn scatter(&self, op: Scatter, dim: i64, index: &Self, values: &Self) -> Self {
        self.make_with(index, |x, index| x.scatter(op, dim, index, values.host_tensor()?))
    }

    /// A copy with one value at the numbers of lines along a dimension.
    #[must_use]
    pub fn index_fill(&self, dim: i64, index: &Self, value: impl Into<Scalar>) -> Self {
        self.make_with(index, |x, index| x.index_fill(dim, index, value.into()))
    }

    /// What lies at places of the first two dimensions, `[K, ...]`.
    #[must_use]
    pub fn at(&self, places: &[Self; 2]) -> Self {
        self.make(|x| x.at([places[0].host_tensor()?, places[1].host_tensor()?]))
    }

    /// Puts values, or one for all, at places of the first two dimensions of this very tensor.
    ///
    /// # Errors
    /// Whatever the host refuses.
    pub fn put_at_(&self, places: &[Self; 2], values: &Self) -> Result<(), TensorError> {
        let places = [places[0].host_tensor()?, places[1].host_tensor()?];
        self.host_tensor()?.put_at_(places, values.host_tensor()?)
    }

    /// The places of all elements that are not zero, `[K, D]`, with a wait for the device.
    #[must_use]
    pub fn nonzero(&self) -> Self {
        self.make(|x| x.nonzero())
    }

    /// The elements along a dimension in order, equal ones as they were, and where they were.
    #[must_use]
    pub fn sort(&self, dim: i64, descending: bool) -> [Self; 2] {
        match self.host_tensor().and_then(|x| x.sort(dim, descending)) {
            Ok(sorted) => sorted.map(Self::new),
            Err(error) => [Self::failed(error.clone()), Self::failed(error)],
        }
    }

    /// The `k` greatest along the last dimension, in any order.
    #[must_use]
    pub fn topk(&self, k: i64) -> Self {
        self.make(|x| x.topk(k))
    }

    /// Of whole numbers along the one dimension: which of the different ones each is, counted from 0, and how many there are.
    ///
    /// # Errors
    /// Whatever the host refuses.
    pub fn unique(&self) -> Result<(Self, i64), TensorError> {
        let (index, count) = self.host_tensor()?.unique()?;
        Ok((Self::new(index), count))
    }
}
