//! Which rows count, and the action of each: as tensors on their device, and as numbers for the CPU engine.

use std::cell::OnceCell;
use std::sync::Arc;

use super::KernelError;
use crate::tensor::{DType, Tensor};

/// The actions and the mask of rows.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// int64, of any shape; values where the mask is false are ignored.
    actions: Tensor,
    /// bool, of the same shape.
    mask: Tensor,
    flat: OnceCell<[Tensor; 2]>,
    host: OnceCell<Arc<HostIds>>,
}

/// The same as host numbers.
#[derive(Debug)]
pub(super) struct HostIds {
    pub(super) actions: Vec<i64>,
    pub(super) counted: Vec<bool>,
}

impl Ids {
    pub(super) fn new(actions: Tensor, mask: Tensor) -> Self {
        Self { actions, mask, flat: OnceCell::new(), host: OnceCell::new() }
    }

    /// The original tensors.
    pub(super) fn tensors(&self) -> [&Tensor; 2] {
        [&self.actions, &self.mask]
    }

    /// The actions and the mask, contiguous, `[N]` each.
    pub(super) fn flat(&self) -> &[Tensor; 2] {
        self.flat.get_or_init(|| self.tensors().map(|tensor| tensor.contiguous().reshape(&[-1])))
    }

    /// The actions and the mask as host numbers; an error if an action that counts is not a token id of the vocabulary.
    /// Waits for a device.
    pub(super) fn host(&self, vocabulary: i64) -> Result<Arc<HostIds>, KernelError> {
        if let Some(known) = self.host.get() {
            return Ok(known.clone());
        }
        let counted: Vec<bool> = self.mask.to_u8s()?.into_iter().map(|counts| counts != 0).collect();
        let actions = self.actions.to_i64s()?;
        let wrong = |(row, action): (usize, &i64)| counted[row] && !(0..vocabulary).contains(action);
        let wrong = actions.iter().enumerate().find(|(row, action)| wrong((*row, *action)));
        if let Some((row, found)) = wrong {
            return Err(self.refusal(row as i64, *found, vocabulary));
        }
        Ok(self.host.get_or_init(|| Arc::new(HostIds { actions, counted })).clone())
    }

    /// The host numbers, if they were read already.
    pub(super) fn known(&self) -> Option<&Arc<HostIds>> {
        self.host.get()
    }

    /// Ids from host numbers alone; the tensors, which are never read, have as many elements.
    pub(super) fn of_host(known: Arc<HostIds>, near: &Tensor) -> Self {
        let size = [known.actions.len() as i64];
        let (actions, mask) = (near.empty(&size, DType::I64), near.empty(&size, DType::Bool));
        Self { actions, mask, flat: OnceCell::new(), host: OnceCell::from(known) }
    }

    /// The same check in tensor operations, for engines that follow ids without checking them.
    pub(super) fn check(&self, vocabulary: i64) -> Result<(), KernelError> {
        let [actions, mask] = self.flat();
        let outside = actions.lt(0i64).logical_or(&actions.ge(vocabulary)).logical_and(mask);
        if outside.any().i64_at(&[])? == 0 {
            return Ok(());
        }
        let row = outside.nonzero().select(0, 0).i64_at(&[])?;
        Err(self.refusal(row, actions.i64_at(&[row])?, vocabulary))
    }

    fn refusal(&self, row: i64, found: i64, vocabulary: i64) -> KernelError {
        let time = self.actions.size().last().copied().unwrap_or(1).max(1);
        KernelError::Action { place: [row / time, row % time], highest: vocabulary - 1, found }
    }
}
