//! Indexing and sorting.

use super::{Scalar, Scatter, Tensor, TensorError};

impl Tensor {
    /// Elements along a dimension by their indices, `[K]`.
    #[must_use]
    pub fn index_select(&self, dim: i64, index: &Self) -> Self {
        self.make_with(index, |x, index| x.index_select(dim, index))
    }

    /// One element along a dimension for each index, of the index's shape.
    #[must_use]
    pub fn gather(&self, dim: i64, index: &Self) -> Self {
        self.make_with(index, |x, index| x.gather(dim, index))
    }

    /// A copy with values added to the slices at `index` along a dimension.
    #[must_use]
    pub fn index_add(&self, dim: i64, index: &Self, values: &Self) -> Self {
        self.scatter(Scatter::IndexAdd, dim, index, values)
    }

    /// A copy with values in the slices at `index` along a dimension.
    #[must_use]
    pub fn index_copy(&self, dim: i64, index: &Self, values: &Self) -> Self {
        self.scatter(Scatter::IndexCopy, dim, index, values)
    }

    /// A copy with each value added at its index along a dimension.
    #[must_use]
    pub fn scatter_add(&self, dim: i64, index: &Self, values: &Self) -> Self {
        self.scatter(Scatter::ScatterAdd, dim, index, values)
    }

    fn scatter(&self, op: Scatter, dim: i64, index: &Self, values: &Self) -> Self {
        self.make_with(index, |x, index| x.scatter(op, dim, index, values.host_tensor()?))
    }

    /// A copy with one value in the slices at `index` along a dimension.
    #[must_use]
    pub fn index_fill(&self, dim: i64, index: &Self, value: impl Into<Scalar>) -> Self {
        self.make_with(index, |x, index| x.index_fill(dim, index, value.into()))
    }

    /// The elements at places of the first two dimensions, `[K, ...]`.
    #[must_use]
    pub fn at(&self, places: &[Self; 2]) -> Self {
        self.make(|x| x.at([places[0].host_tensor()?, places[1].host_tensor()?]))
    }

    /// Writes values, or one for all, at places of the first two dimensions, in place.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn put_at_(&self, places: &[Self; 2], values: &Self) -> Result<(), TensorError> {
        let places = [places[0].host_tensor()?, places[1].host_tensor()?];
        self.host_tensor()?.put_at_(places, values.host_tensor()?)
    }

    /// The indices of all nonzero elements, `[K, D]`; waits for the device.
    #[must_use]
    pub fn nonzero(&self) -> Self {
        self.make(|x| x.nonzero())
    }

    /// Sorts along a dimension, stably: the elements and their original indices.
    #[must_use]
    pub fn sort(&self, dim: i64, descending: bool) -> [Self; 2] {
        match self.host_tensor().and_then(|x| x.sort(dim, descending)) {
            Ok(sorted) => sorted.map(Self::new),
            Err(error) => [Self::failed(error.clone()), Self::failed(error)],
        }
    }

    /// The `k` greatest elements along the last dimension, in any order.
    #[must_use]
    pub fn topk(&self, k: i64) -> Self {
        self.make(|x| x.topk(k))
    }

    /// For whole numbers in one dimension: the index of each among the distinct values, and how many there are.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn unique(&self) -> Result<(Self, i64), TensorError> {
        let (index, count) = self.host_tensor()?.unique()?;
        Ok((Self::new(index), count))
    }
}
