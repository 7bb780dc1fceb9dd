//! Ranks of a step as threads of one process.

use crate::host::Libtorch;
use crate::tensor::{Host, Tensor, TensorError};
use crate::{GroupError, ProcessGroup};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Calls `run` on `size` threads, each a rank of one [`ProcessGroup`], and returns their results by rank.
///
/// The group is as strict as those between machines: all tensors of a round must have one shape and kind. A rank that
/// leaves while others wait for it is an error for them, where real processes would wait.
///
/// ```
/// use aent::testing::on_ranks;
/// use aent::{Batch, Session};
/// use tch::Tensor;
///
/// let session = Session::new(aent::compile("loss = token_mean(log_prob)").unwrap());
/// let losses = on_ranks(2, |group| {
///     // One token on rank 0, two on rank 1.
///     let width = group.rank() as i64 + 1;
///     let log_prob = Tensor::from_slice(&[-1.0, -3.5]).narrow(0, 0, width).view([1, width]).set_requires_grad(true);
///     let batch = Batch::new().with("response_mask", log_prob.ones_like()).with("log_prob", log_prob);
///     let (share, output) = session.forward_over(&batch, group)?;
///     share.backward()?;
///     Ok::<f64, aent::Error>(output.loss().f64_at(&[])?)
/// });
/// let losses: Vec<f64> = losses.into_iter().collect::<Result<_, _>>()?;
/// assert!((losses[0] + (1.0 + 1.0 + 3.5) / 3.0).abs() < 1e-12 && losses[0] == losses[1]);
/// # Ok::<(), aent::Error>(())
/// ```
pub fn on_ranks<T: Send>(size: usize, run: impl Fn(Arc<dyn ProcessGroup>) -> T + Sync) -> Vec<T> {
    let room = Arc::new(Room {
        ranks: Mutex::new((0..size).map(|_| Seat::default()).collect()),
        bell: Condvar::new(),
    });
    std::thread::scope(|scope| {
        let start = |rank| {
            let (room, run) = (Arc::clone(&room), &run);
            scope.spawn(move || {
                let _leaving = Leaving { rank, room: Arc::clone(&room) };
                run(Arc::new(Place { rank, size, room }))
            })
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// The shared state of the threads.
struct Room {
    ranks: Mutex<Vec<Seat>>,
    bell: Condvar,
}

#[derive(Default)]
struct Seat {
    /// The rank's tensors, by round.
    brought: Vec<Tensor>,
    left: bool,
}

impl Room {
    fn enter(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.ranks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place {
    rank: usize,
    size: usize,
    room: Arc<Room>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)
    }
}

impl ProcessGroup for Place {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn host(&self) -> &'static dyn Host {
        &Libtorch
    }

    fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, GroupError> {
        let mut seats = self.room.enter();
        let round = seats[self.rank].brought.len();
        seats[self.rank].brought.push(copy(tensor)?);
        self.room.bell.notify_all();
        while let Some(missing) = seats.iter().position(|seat| seat.brought.len() <= round) {
            if seats[missing].left {
                return Err(format!("rank {missing} left before round {round}").into());
            }
            seats = self.room.bell.wait(seats).unwrap_or_else(PoisonError::into_inner);
        }
        let all: Vec<Tensor> = seats.iter().map(|seat| seat.brought[round].clone()).collect();
        drop(seats);
        let alike = |other: &Tensor| other.size() == tensor.size() && other.dtype() == tensor.dtype();
        if let Some(other) = all.iter().find(|other| !alike(other)) {
            return Err(format!("round {round} has {tensor:?} and {other:?}").into());
        }
        Ok(all)
    }
}

/// A copy, so that a rank that goes on does not change what it has brought.
fn copy(tensor: &Tensor) -> Result<Tensor, TensorError> {
    let copy = tensor.empty(&tensor.size(), tensor.dtype()).ok()?;
    copy.copy_(&tensor.detach())?;
    Ok(copy)
}

/// Marks a rank as gone, even when its thread panics.
struct Leaving {
    rank: usize,
    room: Arc<Room>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.room.enter()[self.rank].left = true;
        self.room.bell.notify_all();
    }
}
