//! The handle to a host's tensor.

use std::fmt;

use super::host::{Host, HostTensor, Made, Unusable};
use super::{DType, Device, TensorError};

/// A tensor of the host, or the error of the operation that should have made it. Cloning shares the elements.
pub struct Tensor(Result<Box<dyn HostTensor>, TensorError>);

impl Tensor {
    /// Wraps a host's tensor.
    pub fn new(tensor: Box<dyn HostTensor>) -> Self {
        Self(Ok(tensor))
    }

    /// A failed tensor.
    pub fn failed(error: TensorError) -> Self {
        Self(Err(error))
    }

    /// The tensor itself, unless an operation leading to it failed.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn ok(self) -> Result<Self, TensorError> {
        self.0.map(Self::new)
    }

    /// The host's tensor.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn host_tensor(&self) -> Result<&dyn HostTensor, TensorError> {
        self.0.as_deref().map_err(Clone::clone)
    }

    /// The host.
    ///
    /// # Errors
    /// The error of the first operation that failed.
    pub fn host(&self) -> Result<&'static dyn Host, TensorError> {
        Ok(self.host_tensor()?.host())
    }

    /// Why operations refuse it, if they do.
    pub fn unusable(&self) -> Option<Unusable> {
        self.host_tensor().ok()?.unusable()
    }

    /// The sizes of its dimensions; empty for a failed tensor.
    pub fn size(&self) -> Vec<i64> {
        self.host_tensor().map_or_else(|_| Vec::new(), HostTensor::size)
    }

    /// The stride of each dimension in elements; empty for a failed tensor.
    pub fn stride(&self) -> Vec<i64> {
        self.host_tensor().map_or_else(|_| Vec::new(), HostTensor::stride)
    }

    /// The number of dimensions.
    pub fn dim(&self) -> usize {
        self.size().len()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.size().iter().product::<i64>() as usize
    }

    /// The length of a dimension; 0 if there is no such dimension.
    pub fn length(&self, dim: usize) -> i64 {
        self.size().get(dim).copied().unwrap_or(0)
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.host_tensor().map_or(DType::Other("a failed tensor"), HostTensor::dtype)
    }

    /// Its device.
    pub fn device(&self) -> Device {
        self.host_tensor().map_or(Device::Other("nowhere"), HostTensor::device)
    }

    /// A tensor made from this one.
    pub(super) fn make(&self, make: impl FnOnce(&dyn HostTensor) -> Made) -> Self {
        Self(self.host_tensor().and_then(make))
    }

    /// A tensor made from two.
    pub(super) fn make_with(
        &self,
        other: &Self,
        make: impl FnOnce(&dyn HostTensor, &dyn HostTensor) -> Made,
    ) -> Self {
        Self(self.host_tensor().and_then(|x| make(x, other.host_tensor()?)))
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().map(|x| x.share()).map_err(Clone::clone))
    }
}

impl From<&Tensor> for Tensor {
    fn from(tensor: &Tensor) -> Self {
        tensor.clone()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(tensor) => tensor.fmt(f),
            Err(error) => write!(f, "Tensor(failed: {error})"),
        }
    }
}
