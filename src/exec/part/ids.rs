//! Action ids that nobody has checked, because checking would have waited for the device.

use crate::exec::error::Result;
use crate::kernels::{KernelError, check_actions};
use crate::tensor::Tensor;

/// The action ids of a part, which make their row NaN where they are not in the vocabulary.
#[derive(Clone, Debug)]
pub(in crate::exec) struct UncheckedIds {
    /// `[B, T]` int64.
    pub actions: Tensor,
    /// `[B, T]` bool.
    pub mask: Tensor,
    pub vocabulary: i64,
    /// The first row of the part within the step.
    pub first_row: i64,
}

impl UncheckedIds {
    /// Refuses an id that is not in the vocabulary.
    pub(in crate::exec) fn check(&self) -> Result<()> {
        let checked = check_actions(&self.actions, &self.mask, self.vocabulary);
        Ok(checked.map_err(|error| match error {
            KernelError::Action { place: [row, time], highest, found } => {
                KernelError::Action { place: [row + self.first_row, time], highest, found }
            }
            other => other,
        })?)
    }
}
