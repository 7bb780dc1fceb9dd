//! What computes the sums of rows, and the gradient back from them, on one sort of device.

use crate::tensor::{DType, Device, Host, Tensor};

use super::plan::Plan;
use super::source::refuse;
use super::{KernelError, cpu, cuda, plain};

/// Rows of logits as an engine reads them.
pub(super) struct Chunk {
    /// `[B, T, V]`; whether rows may lie apart is the engine's word, but each row lies in one piece.
    pub(super) logits: Tensor,
    /// The same of the reference, where the plan compares.
    pub(super) reference: Option<Tensor>,
    /// `[N]` int64 with `N = B·T`, contiguous.
    pub(super) actions: Tensor,
    /// `[N]` bool, contiguous: which rows count.
    pub(super) mask: Tensor,
}

/// What the forward pass finds in rows, by the columns of [`super::plan`]: f64, one line for each row.
pub(super) struct Found {
    /// `[N, plan.sums()]`.
    pub(super) sums: Tensor,
    /// `[N, plan.facts()]`.
    pub(super) facts: Tensor,
}

impl Chunk {
    /// Refuses tensors that are not as the fields say, or rows in more than one piece: kernels follow pointers, and what
    /// lies below torch's operations, such as a mode of the caller's, can put anything in place of their results.
    pub(super) fn check(&self) -> Result<(), KernelError> {
        let size = self.logits.size();
        let &[batch, time, _] = size.as_slice() else {
            return differs("three dimensions", &self.logits);
        };
        self.check_rows(&self.logits)?;
        if let Some(reference) = &self.reference {
            self.check_rows(reference)?;
        }
        check(&self.actions, &[batch * time], DType::I64)?;
        check(&self.mask, &[batch * time], DType::Bool)
    }

    /// The same of what the backward pass takes besides.
    pub(super) fn check_backward(
        &self,
        plan: &Plan,
        found: &Found,
        cotangents: &Tensor,
        gradient: &Tensor,
    ) -> Result<(), KernelError> {
        self.check()?;
        let count = self.logits.size()[0] * self.logits.size()[1];
        check(&found.sums, &[count, plan.sums() as i64], DType::F64)?;
        check(&found.facts, &[count, plan.facts() as i64], DType::F64)?;
        check(cotangents, &[count, plan.sums() as i64], DType::F64)?;
        self.check_rows(gradient)
    }

    fn check_rows(&self, tensor: &Tensor) -> Result<(), KernelError> {
        check(tensor, &self.logits.size(), self.logits.dtype())?;
        if tensor.size()[2] > 1 && tensor.stride()[2] != 1 {
            return differs("rows in one piece", tensor);
        }
        Ok(())
    }
}

fn check(tensor: &Tensor, size: &[i64], kind: DType) -> Result<(), KernelError> {
    if tensor.size() == size && tensor.dtype() == kind {
        return Ok(());
    }
    differs(&format!("{size:?} of {}", kind), tensor)
}

fn differs(expected: &str, tensor: &Tensor) -> Result<(), KernelError> {
    let found = format!("{:?} of {}", tensor.size(), tensor.dtype());
    refuse("the kernels' tensors", expected, &found)
}

/// Computes the sums of rows.
///
/// A row that does not count is not read; its sums are one where the sum of `e^u` or `e^v` stands and zero elsewhere,
/// and its gradient is zero. A row without a softmax, in the policy or in a reference that is compared with, has NaN
/// everywhere. `e^u (u - v)` is zero where `e^u` is, and infinite where only `e^v` is.
pub(super) trait Engine: Sync {
    /// Whether it reads whole batches where they lie. Others get a few contiguous rows at a time, of which all count.
    fn reads_in_place(&self) -> bool;

    /// Reads rows.
    fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError>;

    /// Writes the gradient of the rows, of the shape and kind of the logits, from the cotangents of the sums. It may be
    /// the storage of the logits.
    fn write_gradient(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        cotangents: &Tensor,
        gradient: &Tensor,
    ) -> Result<(), KernelError>;
}

/// The engine for a device.
pub(super) fn of(host: &'static dyn Host, device: Device) -> &'static dyn Engine {
    match device {
        Device::Cpu => &cpu::Cpu,
        Device::Cuda(ordinal) => cuda::engine(host, ordinal).unwrap_or(&plain::Plain),
        _ => &plain::Plain,
    }
}

/// Why row statistics on this device are computed in plain operations of the host, if they are.
pub fn fallback_reason(host: &'static dyn Host, device: Device) -> Option<String> {
    match device {
        Device::Cpu => None,
        Device::Cuda(ordinal) => cuda::engine(host, ordinal).err().map(str::to_owned),
        _ => Some("there are no kernels for this sort of device".to_owned()),
    }
}
