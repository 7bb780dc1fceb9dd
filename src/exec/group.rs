//! The processes that share a step, as the caller's framework connects them.

use super::error::{Error, Result};
use crate::tensor::{Host, Tensor};
use std::fmt;

/// Why processes could not exchange tensors, in the words of what connects them.
pub type GroupError = Box<dyn std::error::Error + Send + Sync>;

/// The processes (ranks) that compute one step together, each on sequences of its own.
///
/// The step is the one of all rows of all ranks, in the order of ranks: denominators, whatever spans the batch,
/// metrics and signals are the whole step's. So the field `group` must tell prompts apart in the whole step, not
/// in one process, and two samples of one prompt may lie on two ranks.
///
/// # What is exchanged
///
/// Before the first share a few whole numbers from each rank: whether it could read its batch, where in which step it is,
/// the counts of its rows, and a hash of everything that must agree (the program, the states of the controllers, the number of
/// steps, fields and their kinds, inputs that are one value). At the end a few more, with the loss, the metrics and the signals. Between them
/// travels what spans the step, and nothing else:
///
/// | the program | besides |
/// | --- | --- |
/// | all is a sum over sequences, given the counts | nothing |
/// | something spans the batch fields, as `group_mean(rewards)` does | the mask and the fields it is made from, before the first share |
/// | the loss itself needs the model's output of the whole step ([`crate::plan::FirstPass::Model`]) | every field and row statistic that the program reads, `[B, T]` each, before the first share |
/// | only a metric or a signal does | the fields and row statistics that it is made from, at the end |
///
/// Logits and gradients never travel. Sums are taken in the order of ranks, and what every rank computes for
/// itself is taken from rank 0, so that all ranks observe the same numbers to the last bit, and their controllers
/// stay alike.
///
/// # When a rank fails
///
/// A rank whose batch is refused tells the others before it returns its error, and they return
/// [`Error::Rank`]. So do all ranks when one of them brings another program, another state or other kinds, or is at
/// another place of its step than the others. What fails outside of a step is told by [`super::Accumulation::fail`]. What
/// can still wait for a rank is what that rank never reaches: when its process dies, gives a step up in the
/// middle or runs out of memory in an exchange, the others wait as long as the implementation lets them. And
/// where `backward` communicates by itself, as that of wrapped models does, ranks that are inside of it cannot
/// hear of a part that another rank could not read.
pub trait ProcessGroup: fmt::Debug + Send + Sync {
    /// This process's place among them, from 0 on.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn size(&self) -> usize;

    /// The library whose tensors it exchanges.
    fn host(&self) -> &'static dyn Host;

    /// The tensors of all processes, in the order of ranks, this one's included.
    ///
    /// All bring the same shape and kind (i64, f32, f64 or u8), and call it equally often and in the same order. A
    /// tensor may lie on any device, small ones lie on the CPU; an implementation moves it to where it can be sent.
    fn all_gather(&self, tensor: &Tensor) -> std::result::Result<Vec<Tensor>, GroupError>;

    /// The last word on an error of this rank before the other ranks hear of it: a host whose code ran below the step, and
    /// that knows better what went wrong there, puts its own words in.
    fn failing(&self, error: Error) -> Error {
        error
    }
}

/// Gathers, and refuses what is no answer.
pub(super) fn gather(group: &dyn ProcessGroup, tensor: &Tensor) -> Result<Vec<Tensor>> {
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
