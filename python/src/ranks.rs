//! The processes that share a step, over the engine that the trainer already runs: `torch.distributed`.

use crate::errors::{interrupted, keep_cause, left, of_step, words};
use crate::host::{Torch, is_tensor, of_python, to_python};
use crate::kept::Kept;
use aent::tensor::{Host, Tensor};
use aent::{Accumulation, Error, GroupError, Order, ProcessGroup, SequenceShards, Session};
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
}

/// The ranks that share a step, and how their gradients are joined.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Those with other sequences.
    pub(crate) ranks: Option<Arc<dyn ProcessGroup>>,
    /// Those with other tokens of the same sequences.
    pub(crate) shards: Option<SequenceShards>,
    pub(crate) joined: Joined,
}

impl Spread {
    /// Ranks whose engine takes the mean of the gradients.
    pub(crate) fn new(
        ranks: Option<Arc<dyn ProcessGroup>>,
        sequence_group: Option<&Bound<'_, PyAny>>,
        order: &str,
    ) -> PyResult<Self> {
        let shards = sequence_group.map(|group| shards_of(group, order)).transpose()?;
        Ok(Self { ranks, shards, joined: Joined::Mean })
    }

    /// Whether this process computes the step by itself.
    pub(crate) fn is_alone(&self) -> bool {
        self.ranks.is_none() && self.shards.is_none()
    }

    /// Begins a step in parts over the ranks.
    pub(crate) fn begin(&self, session: &Session) -> aent::Result<Accumulation> {
        let mut step = session.accumulate();
        if let Some(ranks) = &self.ranks {
            step = step.over(ranks.clone())?;
        }
        match &self.shards {
            Some(shards) => step.sharded(shards.clone()),
            None => Ok(step),
        }
    }

    /// A rank's share, so that the engine's result is the gradient of the whole step's loss.
    pub(crate) fn share(&self, share: &Tensor) -> PyResult<Tensor> {
        if self.joined == Joined::Sum || self.is_alone() {
            return Ok(share.clone());
        }
        let ranks = self.ranks.as_ref().map_or(1, |ranks| ranks.size());
        let shards = self.shards.as_ref().map_or(1, SequenceShards::size);
        (share * (ranks * shards) as f64).ok().map_err(|error| of_step(error.into()))
    }

    /// Tells the ranks of all sorts of an exception that kept this one from beginning a step, and gives back what to raise.
    pub(crate) fn give_up(&self, py: Python<'_>, session: &Session, raised: PyErr) -> PyErr {
        if self.is_alone() {
            return give_up_shards(py, session, raised);
        }
        tell(py, raised, |text| {
            if let Ok(mut step) = self.begin(session) {
                step.fail(text);
            }
        })
    }
}

/// The ranks with other tokens of the same sequences, and which of them each has.
pub(crate) fn shards_of(group: &Bound<'_, PyAny>, order: &str) -> PyResult<SequenceShards> {
    let order = match order {
        "contiguous" => Order::Contiguous,
        "zigzag" => Order::Zigzag,
        _ => {
            let text = format!("`sequence_order`: expected `contiguous` or `zigzag`, found `{order}`");
            return Err(PyValueError::new_err(text));
        }
    };
    Ok(SequenceShards::new(TorchGroup::of(group, "sequence_group")?, order))
}

/// The whole of a tensor in shards, for ``aent.sequence_parallel``; without gradient.
#[pyfunction]
pub(crate) fn gather_shards<'py>(
    py: Python<'py>,
    tensor: Bound<'py, PyAny>,
    group: &Bound<'py, PyAny>,
    order: &str,
    dim: usize,
    cu_seqlens: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (shards, own, ends) = (shards_of(group, order)?, of_python(tensor), cu_seqlens.map(of_python));
    let whole = shards.gather(&own.detach(), dim, ends.as_ref());
    to_python(py, &whole.map_err(of_step)?)
}

/// The own part of a whole tensor, for ``aent.sequence_parallel``.
#[pyfunction]
pub(crate) fn own_shard<'py>(
    py: Python<'py>,
    whole: Bound<'py, PyAny>,
    group: &Bound<'py, PyAny>,
    order: &str,
    dim: usize,
    tokens: i64,
    cu_seqlens: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (shards, whole, ends) = (shards_of(group, order)?, of_python(whole), cu_seqlens.map(of_python));
    to_python(py, &shards.own(&whole, dim, tokens, ends.as_ref()).map_err(of_step)?)
}

/// A process group of `torch.distributed`.
pub(crate) struct TorchGroup {
    rank: usize,
    size: usize,
    gather: Kept,
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
        Ok(Arc::new(Self { rank, size, gather: Kept::new(ranks.getattr("all_gather")?) }))
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

/// The session where the ranks of `vocab_group`, if it is given, hold the vocabulary in shards.
pub(crate) fn in_shards(
    session: Arc<Session>,
    vocab_group: Option<&Bound<'_, PyAny>>,
) -> PyResult<Arc<Session>> {
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
