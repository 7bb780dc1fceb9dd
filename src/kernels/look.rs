//! What a saved tensor looks like: kernels follow pointers, and a hook on saved tensors may return anything.

use super::KernelError;
use super::source::{check_usable, refuse};
use crate::tensor::{DType, Device, Tensor};

/// The properties of a tensor that a hook on saved tensors must not change.
#[derive(PartialEq)]
pub(super) struct Look {
    size: Vec<i64>,
    dtype: DType,
    device: Device,
}

impl Look {
    pub(super) fn of(tensor: &Tensor) -> Self {
        Self { size: tensor.size(), dtype: tensor.dtype(), device: tensor.device() }
    }

    /// Refuses a tensor that a hook changed.
    pub(super) fn check(&self, tensor: &Tensor) -> Result<(), KernelError> {
        let name = "a saved tensor";
        check_usable(name, tensor)?;
        let found = Self::of(tensor);
        if found == *self {
            return Ok(());
        }
        let words = |look: &Self| format!("{:?} of {} on {}", look.size, look.dtype, look.device);
        refuse(name, &format!("{}, as it was saved", words(self)), &format!("{}, from a hook", words(&found)))
    }
}
