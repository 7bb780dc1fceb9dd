//! What computes the sums of rows, and the gradient back from them, on one sort of device.

use tch::{Device, Tensor};

use super::plan::Plan;
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
        gradient: &mut Tensor,
    ) -> Result<(), KernelError>;
}

/// The engine for a device.
pub(super) fn of(device: Device) -> &'static dyn Engine {
    match device {
        Device::Cpu => &cpu::Cpu,
        Device::Cuda(ordinal) => cuda::engine(ordinal).unwrap_or(&plain::Plain),
        _ => &plain::Plain,
    }
}

/// Why row statistics on this device are computed in plain torch operations, if they are.
pub fn fallback_reason(device: Device) -> Option<String> {
    match device {
        Device::Cpu => None,
        Device::Cuda(ordinal) => cuda::engine(ordinal).err().map(str::to_owned),
        _ => Some("there are no kernels for this sort of device".to_owned()),
    }
}
