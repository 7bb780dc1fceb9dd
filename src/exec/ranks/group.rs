//! The interface to the communication between the ranks of a step.

use crate::exec::error::{Error, GroupError, Result};
use crate::tensor::{Host, Tensor};
use std::fmt;

/// The processes (ranks) that compute one step together, each on its own sequences.
///
/// The step consists of the rows of all ranks, in rank order: denominators, values that span the batch, metrics and
/// signals are those of the whole step. The field `group` must therefore tell prompts apart in the whole step, not just
/// within one process; samples of one prompt may be on different ranks.
///
/// # What is exchanged
///
/// Before the first share, each rank sends a few integers: whether it could read its batch, its position in the step, the
/// counts of its rows, and a hash of everything that must agree (program, controller states, number of steps, fields and
/// their kinds, scalar inputs). At the end it sends a few more, with the loss, metrics and signals. In between, only
/// values that span the step are exchanged:
///
/// | the program | also exchanged |
/// | --- | --- |
/// | every value is a sum over sequences, given the counts | nothing |
/// | a value spans batch fields, such as `group_mean(rewards)` | the mask and the fields it reads, before the first share |
/// | the loss needs the model's whole output ([`FirstPass::Model`]) | all fields and row statistics, before the first share |
/// | only a metric or a signal needs it | the fields and row statistics it reads, at the end |
///
/// [`FirstPass::Model`]: crate::plan::FirstPass::Model
///
/// Fields and row statistics are `[B, T]` at most; logits and gradients are never exchanged. Sums run in rank order, and
/// values that every rank computes by itself are taken from rank 0, so that all ranks observe bit-identical numbers and
/// their controllers stay equal.
///
/// # When a rank fails
///
/// A rank that refuses its batch tells the others before it returns its error, and they return [`Error::Rank`]. All ranks
/// return it if one has a different program, state or field kinds, or is at a different point of its step. Report a
/// failure outside of a step with [`crate::Accumulation::fail`]. If a process dies, abandons a step or runs out of memory
/// in an exchange, the others wait as long as the implementation lets them. If `backward` itself communicates, as for
/// wrapped models, ranks inside `backward` do not learn that another rank could not read its part.
pub trait ProcessGroup: fmt::Debug + Send + Sync {
    /// This process's rank, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// The library whose tensors it exchanges.
    fn host(&self) -> &'static dyn Host;

    /// Gathers the tensors of all ranks, including this one's, in rank order.
    ///
    /// All ranks pass the same shape and kind (i64, f32, f64 or u8), and make the same calls in the same order. The
    /// tensor may be on any device, small ones are on the CPU; the implementation moves it to where it can be sent.
    fn all_gather(&self, tensor: &Tensor) -> std::result::Result<Vec<Tensor>, GroupError>;

    /// Called with an error of this rank before the other ranks are told. A host whose own code failed inside the step
    /// can return a better error.
    fn failing(&self, error: Error) -> Error {
        error
    }
}

/// Gathers, and checks the transport's answer.
pub(in crate::exec) fn gather(group: &dyn ProcessGroup, tensor: &Tensor) -> Result<Vec<Tensor>> {
    let (rank, size) = (group.rank(), group.size());
    let refuse = |message: String| Err(Error::Group(message.into()));
    if rank >= size {
        return refuse(format!("expected a rank below the size {size}, found {rank}"));
    }
    let all = group.all_gather(tensor).map_err(Error::Group)?;
    if all.len() != size {
        return refuse(format!("expected {size} tensors, one of each rank, found {}", all.len()));
    }
    for (of, found) in all.iter().enumerate() {
        if found.size() != tensor.size() || found.dtype() != tensor.dtype() {
            return refuse(format!(
                "expected a tensor {:?} of {} from rank {of}, found {:?} of {}",
                tensor.size(),
                tensor.dtype(),
                found.size(),
                found.dtype()
            ));
        }
    }
    Ok(all)
}
