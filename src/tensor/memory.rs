//! Reads and writes the elements of tensors.

use std::ffi::c_void;

use super::host::{Host, HostTensor};
use super::{DType, Tensor, TensorError};

/// A Rust type that tensors can hold.
pub trait Element: bytemuck::Pod {
    /// The tensor's type.
    const DTYPE: DType;
}

macro_rules! element {
    ($($rust:ty: $dtype:ident),*) => {
        $(impl Element for $rust { const DTYPE: DType = DType::$dtype; })*
    };
}

element!(u8: U8, i64: I64, f32: F32, f64: F64);

impl Tensor {
    /// A tensor on the CPU with these elements.
    pub fn from_slice<T: Element>(host: &dyn Host, elements: &[T], size: &[i64]) -> Self {
        Self::from_bytes(host, T::DTYPE, size, bytemuck::cast_slice(elements))
    }

    /// A tensor on the CPU with a copy of these bytes as its memory.
    pub fn from_bytes(host: &dyn Host, dtype: DType, size: &[i64], bytes: &[u8]) -> Self {
        match host.tensor(dtype, size, bytes) {
            Ok(tensor) => Self::new(tensor),
            Err(error) => Self::failed(error),
        }
    }

    fn elements<T: Element>(&self) -> Result<Vec<T>, TensorError> {
        let tensor = self.host_tensor()?;
        let mut elements = vec![T::zeroed(); self.numel()];
        tensor.read(T::DTYPE, bytemuck::cast_slice_mut(&mut elements))?;
        Ok(elements)
    }

    /// All elements as f64, in order; waits for the device.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn to_f64s(&self) -> Result<Vec<f64>, TensorError> {
        self.elements()
    }

    /// All elements as f64; f32 is read as f32 and widened here.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub(crate) fn to_wide(&self) -> Result<Vec<f64>, TensorError> {
        if self.dtype() != DType::F32 {
            return self.to_f64s();
        }
        Ok(self.elements::<f32>()?.into_iter().map(f64::from).collect())
    }

    /// All elements as int64, in order; waits for the device.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn to_i64s(&self) -> Result<Vec<i64>, TensorError> {
        self.elements()
    }

    /// All elements as bytes, in order, a truth value as 0 or 1; waits for the device.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn to_u8s(&self) -> Result<Vec<u8>, TensorError> {
        self.elements()
    }

    /// The memory of all elements, in order and in their own type; waits for the device.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TensorError> {
        let mut bytes = vec![0; self.numel() * self.dtype().bytes()];
        self.host_tensor()?.read(self.dtype(), &mut bytes)?;
        Ok(bytes)
    }

    /// One element as f64: the only one, or the one at `place`; waits for the device.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn f64_at(&self, place: &[i64]) -> Result<f64, TensorError> {
        let values = self.element(place).to_f64s()?;
        values.first().copied().filter(|_| values.len() == 1).ok_or_else(|| self.not_one(place))
    }

    /// One element as int64: the only one, or the one at `place`; waits for the device.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn i64_at(&self, place: &[i64]) -> Result<i64, TensorError> {
        let values = self.element(place).to_i64s()?;
        values.first().copied().filter(|_| values.len() == 1).ok_or_else(|| self.not_one(place))
    }

    fn element(&self, place: &[i64]) -> Self {
        place.iter().fold(self.clone(), |x, index| x.select(0, *index))
    }

    fn not_one(&self, place: &[i64]) -> TensorError {
        TensorError::new(format!("expected one element at {place:?} of a tensor of shape {:?}", self.size()))
    }

    /// Whether both have the same sizes and elements.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn equal(&self, other: &Self) -> Result<bool, TensorError> {
        self.host_tensor()?.equal(other.host_tensor()?)
    }

    /// The address of the first element, if the tensor has memory.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn pointer(&self) -> Result<Option<*mut c_void>, TensorError> {
        Ok(self.host_tensor()?.pointer())
    }

    /// Copies another tensor's elements into this one.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn copy_(&self, from: &Self) -> Result<(), TensorError> {
        self.host_tensor()?.copy_(from.host_tensor()?)
    }

    /// Adds another tensor in place.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn add_(&self, other: &Self) -> Result<(), TensorError> {
        self.host_tensor()?.add_(other.host_tensor()?)
    }

    /// Adds the product of two matrices in place.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn addmm_(&self, left: &Self, right: &Self) -> Result<(), TensorError> {
        self.host_tensor()?.addmm_(left.host_tensor()?, right.host_tensor()?)
    }

    /// A new tensor on the same device with uninitialised elements.
    #[must_use]
    pub fn empty(&self, size: &[i64], dtype: DType) -> Self {
        self.make(|x| x.empty(size, dtype))
    }

    /// Whether memory holds the negatives of the values.
    pub fn is_negated(&self) -> bool {
        self.host_tensor().is_ok_and(HostTensor::is_negated)
    }

    /// The tensor with its values in memory, not their negatives.
    #[must_use]
    pub fn resolve_neg(&self) -> Self {
        self.make(|x| x.resolve_neg())
    }

    /// Whether it carries a tangent of forward-mode differentiation.
    pub fn has_tangent(&self) -> bool {
        self.host_tensor().is_ok_and(HostTensor::has_tangent)
    }

    /// The type in which automatic mixed precision computes matrix products on its device, if it is on.
    pub fn autocast_dtype(&self) -> Option<DType> {
        self.host_tensor().ok()?.autocast_dtype()
    }
}
