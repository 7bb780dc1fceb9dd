//! The processes that share a step, over the engine that the trainer already runs: `torch.distributed`.

use crate::errors::{interrupted, keep_cause, left, of_step, words};
use crate::host::{Torch, is_tensor, of_python, to_python};
use aent::tensor::{Host, Tensor};
use aent::{Error, GroupError, ProcessGroup, Session};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::fmt;
use std::sync::Arc;

/// How the trainer's engine joins the gradients of the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It takes their mean, as DDP, FSDP and `DeepSpeed` do.
    Mean,
    /// It takes their sum.
    Sum,
}

impl Joined {
    /// `mean` or `sum`.
    pub(crate) fn named(name: &str) -> PyResult<Self> {
        match name {
            "mean" => Ok(Self::Mean),
            "sum" => Ok(Self::Sum),
            _ => Err(PyValueError::new_err(format!("`gradients`: expected `mean` or `sum`, found `{name}`"))),
        }
    }

    /// A rank's share, so that the engine's result is the gradient of the whole step's loss.
    pub(crate) fn share(self, share: &Tensor, ranks: Option<&Arc<dyn ProcessGroup>>) -> PyResult<Tensor> {
        match (self, ranks) {
            (Self::Mean, Some(ranks)) => {
                (share * ranks.size() as f64).ok().map_err(|error| of_step(error.into()))
            }
            _ => Ok(share.clone()),
        }
    }
}

/// A process group of `torch.distributed`.
pub(crate) struct TorchGroup {
    rank: usize,
    size: usize,
    gather: Py<PyAny>,
}

impl fmt::Debug for TorchGroup {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rank {} of {}", self.rank, self.size)
    }
}

impl TorchGroup {
    /// Asks the package's `ranks.py`, which knows `torch.distributed`. The group came under that name.
    fn of(group: &Bound<'_, PyAny>, name: &str) -> PyResult<Arc<dyn ProcessGroup>> {
        let ranks = group.py().import("aent.ranks")?.getattr("Ranks")?.call1((group, name))?;
        let (rank, size) = (ranks.getattr("rank")?.extract()?, ranks.getattr("size")?.extract()?);
        Ok(Arc::new(Self { rank, size, gather: ranks.getattr("all_gather")?.unbind() }))
    }
}

impl ProcessGroup for TorchGroup {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, GroupError> {
        let gather = |py: Python<'_>| -> PyResult<Vec<Tensor>> {
            let tensor = to_python(py, tensor)?;
            let gathered: Vec<Bound<'_, PyAny>> = self.gather.bind(py).call1((tensor,))?.extract()?;
            Ok(gathered.into_iter().map(of_python).collect())
        };
        Python::attach(|py| {
            gather(py).map_err(|error| {
                let text = words(py, &error);
                keep_cause(py, error);
                text.into()
            })
        })
    }

    fn failing(&self, error: Error) -> Error {
        left().map_or(error, Error::Step)
    }

    fn host(&self) -> &'static dyn Host {
        &Torch
    }
}

/// Tells the other ranks of an exception that kept this one from beginning a step, and gives back what to raise.
pub(crate) fn give_up(
    py: Python<'_>,
    session: &Session,
    ranks: &Arc<dyn ProcessGroup>,
    raised: PyErr,
) -> PyErr {
    tell(py, raised, |text| {
        if let Ok(mut step) = session.accumulate().over(ranks.clone()) {
            step.fail(text);
        }
    })
}

/// The session where the ranks of `vocab_group`, if it is given, hold the vocabulary in shards.
pub(crate) fn in_shards(session: Arc<Session>, vocab_group: Option<&Bound<'_, PyAny>>) -> PyResult<Arc<Session>> {
    let Some(group) = vocab_group else { return Ok(session) };
    Ok(Arc::new(session.in_shards(TorchGroup::of(group, "vocab_group")?)))
}

/// Tells the ranks that hold the other shards, if there are any, of an exception that kept this one from reading a batch, and
/// gives back what to raise.
pub(crate) fn give_up_shards(py: Python<'_>, session: &Session, raised: PyErr) -> PyErr {
    if session.is_in_shards() { tell(py, raised, |text| session.fail_shards(text)) } else { raised }
}

/// Tells the other ranks of an exception, which waits for them, and gives back what to raise: a second Ctrl-C while they
/// are waited for is raised in its place.
pub(crate) fn tell(py: Python<'_>, raised: PyErr, fail: impl FnOnce(&str) + Send) -> PyErr {
    let text = words(py, &raised);
    py.detach(|| fail(&text));
    interrupted(py).unwrap_or(raised)
}

/// The batch fields given by name, and the ranks.
type Split<'py> = (Bound<'py, PyDict>, Option<Arc<dyn ProcessGroup>>);

/// The batch fields given by name, and the ranks. `group` is the name of a batch field too, the prompts that samples
/// answer: a tensor is that field, anything else the ranks.
pub(crate) fn split<'py>(
    py: Python<'py>,
    fields: Option<&Bound<'py, PyDict>>,
    group: Option<&Bound<'py, PyAny>>,
    process_group: Option<&Bound<'py, PyAny>>,
) -> PyResult<Split<'py>> {
    let named = fields.map_or_else(|| Ok(PyDict::new(py)), PyDictMethods::copy)?;
    let mut ranks = process_group;
    match group {
        Some(group) if ranks.is_some() || is_tensor(group)? => {
            named.set_item("group", group)?;
        }
        Some(group) => ranks = Some(group),
        None => {}
    }
    Ok((named, ranks.map(|ranks| TorchGroup::of(ranks, "group")).transpose()?))
}
