//! Which rows count, the action of each, and the tokens listed for it: as tensors on their device, and as numbers for the
//! CPU engine.

use std::cell::OnceCell;
use std::sync::Arc;

use super::KernelError;
use super::source::{differs, refuse};
use crate::tensor::{DType, Tensor};

/// Lists of token ids beside the rows, which the batch brings.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    /// The field of each list, and how many ids it has for a row.
    pub(super) fields: Arc<[(&'static str, usize)]>,
    /// `[..., W]` int64, one list after the other, each in ascending order: token ids, and -1 for none.
    pub(super) ids: Tensor,
}

/// The actions and the mask of rows, and what is listed for them: as tensors, as host numbers, or both.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// The actions, int64 of any shape, where values are ignored if the mask is false; and the mask, bool of the same shape.
    tensors: Option<[Tensor; 2]>,
    lists: Option<Lists>,
    flat: OnceCell<[Tensor; 2]>,
    flat_lists: OnceCell<Tensor>,
    host: OnceCell<Arc<HostIds>>,
}

/// The same as host numbers.
#[derive(Debug)]
pub(super) struct HostIds {
    pub(super) actions: Vec<i64>,
    pub(super) counted: Vec<bool>,
    /// The listed ids, as many for each row.
    pub(super) listed: Vec<i64>,
}

impl Ids {
    pub(super) fn new(actions: Tensor, mask: Tensor) -> Self {
        Self { tensors: Some([actions, mask]), ..Self::of(OnceCell::new()) }
    }

    /// The same with lists.
    pub(super) fn with_lists(self, lists: Option<Lists>) -> Self {
        Self { lists, ..self }
    }

    /// The lists, if there are any.
    pub(super) fn lists(&self) -> Option<&Lists> {
        self.lists.as_ref()
    }

    /// How many ids each list has for a row.
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.lists.iter().flat_map(|lists| lists.fields.iter().map(|(_, length)| *length)).collect()
    }

    /// The listed ids, contiguous, `[N, W]`; none without lists.
    pub(super) fn flat_lists(&self) -> Option<&Tensor> {
        let lists = self.lists.as_ref()?;
        Some(self.flat_lists.get_or_init(|| lists.ids.contiguous().reshape(&[-1, lists.width()])))
    }

    /// Ids from host numbers alone.
    pub(super) fn of_host(known: Arc<HostIds>) -> Self {
        Self::of(OnceCell::from(known))
    }

    fn of(host: OnceCell<Arc<HostIds>>) -> Self {
        Self { tensors: None, lists: None, flat: OnceCell::new(), flat_lists: OnceCell::new(), host }
    }

    /// The original tensors.
    pub(super) fn tensors(&self) -> &[Tensor; 2] {
        self.tensors.as_ref().expect("only an engine that reads host numbers gets those alone")
    }

    /// Refuses ids of another number of rows, or of lists with `listed` ids for each.
    pub(super) fn check_rows(&self, rows: usize, listed: usize) -> Result<(), KernelError> {
        match &self.lists {
            Some(Lists { ids, .. }) if ids.numel() != rows * listed || ids.dtype() != DType::I64 => {
                return differs(&format!("{rows} times {listed} of {}", DType::I64), ids);
            }
            None if self.tensors.is_some() && listed > 0 => {
                return refuse("the kernels' tensors", "lists of ids", "none");
            }
            _ => {}
        }
        for (tensor, dtype) in self.tensors.iter().flatten().zip([DType::I64, DType::Bool]) {
            if tensor.numel() != rows || tensor.dtype() != dtype {
                return differs(&format!("{rows} of {dtype}"), tensor);
            }
        }
        let Some(known) = self.host.get() else { return Ok(()) };
        for (found, expected) in [(known.actions.len(), rows), (known.listed.len(), rows * listed)] {
            if found != expected {
                return refuse("the kernels' tensors", &format!("{expected} ids"), &found.to_string());
            }
        }
        Ok(())
    }

    /// The actions and the mask, contiguous, `[N]` each.
    pub(super) fn flat(&self) -> &[Tensor; 2] {
        self.flat.get_or_init(|| self.tensors().each_ref().map(|tensor| tensor.contiguous().reshape(&[-1])))
    }

    /// All of them as host numbers; an error if an action that counts is not a token id of the vocabulary, or a listed id
    /// neither that nor -1. Waits for a device.
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
        let listed = self.flat_lists().map_or(Ok(Vec::new()), Tensor::to_i64s)?;
        if let Some(at) = listed.iter().position(|id| !(-1..vocabulary).contains(id)) {
            let width = listed.len() / counted.len();
            return Err(self.refusal_listed((at / width) as i64, at % width, listed[at], vocabulary));
        }
        Ok(self.host.get_or_init(|| Arc::new(HostIds { actions, counted, listed })).clone())
    }

    /// The host numbers, if they were read already.
    pub(super) fn known(&self) -> Option<&Arc<HostIds>> {
        self.host.get()
    }

    /// The same check in tensor operations, for engines that follow ids without checking them.
    pub(super) fn check(&self, vocabulary: i64) -> Result<(), KernelError> {
        let [actions, mask] = self.flat();
        let outside = actions.lt(0i64).logical_or(&actions.ge(vocabulary)).logical_and(mask);
        let listed = self.flat_lists();
        let wrong = listed.map(|ids| ids.lt(-1i64).logical_or(&ids.ge(vocabulary)));
        let any =
            wrong.as_ref().map_or_else(|| outside.any(), |wrong| outside.any().logical_or(&wrong.any()));
        if any.i64_at(&[])? == 0 {
            return Ok(());
        }
        if let (Some(ids), Some(wrong)) = (listed, wrong)
            && wrong.any().i64_at(&[])? != 0
        {
            let at = wrong.nonzero().select(0, 0).to_i64s()?;
            return Err(self.refusal_listed(at[0], at[1] as usize, ids.i64_at(&at)?, vocabulary));
        }
        let row = outside.nonzero().select(0, 0).i64_at(&[])?;
        Err(self.refusal(row, actions.i64_at(&[row])?, vocabulary))
    }

    fn refusal_listed(&self, row: i64, column: usize, found: i64, vocabulary: i64) -> KernelError {
        let fields = self.lists.as_ref().map_or(&[][..], |lists| &lists.fields);
        let mut end = 0;
        let field = fields.iter().find(|(_, width)| {
            end += width;
            column < end
        });
        KernelError::Listed {
            name: field.map_or("the lists of ids", |(name, _)| name),
            place: self.place(row),
            expected: format!("different token ids in 0 .. {}, and -1 for none", vocabulary - 1),
            found: found.to_string(),
        }
    }

    /// The sequence of a row, and its position there.
    pub(super) fn place(&self, row: i64) -> [i64; 2] {
        let time = self.tensors()[0].size().last().copied().unwrap_or(1).max(1);
        [row / time, row % time]
    }

    fn refusal(&self, row: i64, found: i64, vocabulary: i64) -> KernelError {
        KernelError::Action { place: self.place(row), highest: vocabulary - 1, found }
    }
}

impl Lists {
    /// How many ids a row has, of all lists together.
    pub(super) fn width(&self) -> i64 {
        self.fields.iter().map(|(_, width)| *width as i64).sum()
    }

    /// The lists of the rows at `[k]` places among all rows.
    pub(super) fn pick(&self, places: &Tensor) -> Self {
        let flat = self.ids.reshape(&[-1, self.width()]);
        Self { fields: self.fields.clone(), ids: flat.index_select(0, places) }
    }
}
