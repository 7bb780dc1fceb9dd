//! Which rows count, and the action of each: as tensors on their device, and as numbers for the CPU engine.

use std::cell::OnceCell;
use std::sync::Arc;

use super::KernelError;
use super::source::{differs, refuse};
use crate::tensor::{DType, Tensor};

/// The actions and the mask of rows: as tensors, as host numbers, or both.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// The actions, int64 of any shape, where values are ignored if the mask is false; and the mask, bool of the same shape.
    tensors: Option<[Tensor; 2]>,
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
        Self { tensors: Some([actions, mask]), flat: OnceCell::new(), host: OnceCell::new() }
    }

    /// Ids from host numbers alone.
    pub(super) fn of_host(known: Arc<HostIds>) -> Self {
        Self { tensors: None, flat: OnceCell::new(), host: OnceCell::from(known) }
    }

    /// The original tensors.
    pub(super) fn tensors(&self) -> &[Tensor; 2] {
        self.tensors.as_ref().expect("only an engine that reads host numbers gets those alone")
    }

    /// Refuses ids of another number of rows.
    pub(super) fn check_rows(&self, rows: usize) -> Result<(), KernelError> {
        for (tensor, dtype) in self.tensors.iter().flatten().zip([DType::I64, DType::Bool]) {
            if tensor.numel() != rows || tensor.dtype() != dtype {
                return differs(&format!("{rows} of {dtype}"), tensor);
            }
        }
        match self.host.get().map(|known| known.actions.len()) {
            Some(found) if found != rows => {
                refuse("the kernels' tensors", &format!("ids of {rows} rows"), &found.to_string())
            }
            _ => Ok(()),
        }
    }

    /// The actions and the mask, contiguous, `[N]` each.
    pub(super) fn flat(&self) -> &[Tensor; 2] {
        self.flat.get_or_init(|| self.tensors().each_ref().map(|tensor| tensor.contiguous().reshape(&[-1])))
    }

    /// The actions and the mask as host numbers; an error if an action that counts is not a token id of the vocabulary.
    /// Waits for a device.
    pub(super) fn host(&self, vocabulary: i64) -> Result<Arc<HostIds>, KernelError> {
        if let Some(known) = self.host.get() {
            return Ok(known.clone());
        }
        let [actions, mask] = self.tensors();
        let counted: Vec<bool> = mask.to_u8s()?.into_iter().map(|counts| counts != 0).collect();
        let actions = actions.to_i64s()?;
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
        let time = self.tensors()[0].size().last().copied().unwrap_or(1).max(1);
        KernelError::Action { place: [row / time, row % time], highest: vocabulary - 1, found }
    }
}
