//! Parallel loops over rows, on threads of this crate that sleep between calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;

use super::KernelError;
use crate::tensor::Host;

/// The threads that share a loop.
#[derive(Clone, Copy)]
pub(super) struct Workers {
    /// The host of the tensors.
    pub(super) host: &'static dyn Host,
    /// The number of threads, including the caller's.
    pub(super) threads: usize,
    /// The most threads that may share this loop.
    pub(super) count: usize,
    /// How many consecutive indices a thread takes at a time; at least one.
    pub(super) at_once: usize,
}

/// Fills `count` lines of `width` numbers, which are zero until `work` fills the line of an index. Each worker makes
/// one `scratch`. Which worker takes which index varies, so `work` must not depend on the contents of its scratch.
pub(super) fn parallel<S>(
    count: usize,
    width: usize,
    workers: Workers,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [f64]) + Sync,
) -> Result<Vec<f64>, KernelError> {
    let mut lines = vec![0.0; count * width];
    let slots = Slots(lines.as_mut_ptr());
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut scratch = scratch();
        loop {
            let start = next.fetch_add(workers.at_once, Ordering::Relaxed);
            if start >= count {
                break;
            }
            for index in start..count.min(start + workers.at_once) {
                // SAFETY: `index` is below `count`, and the counter hands it out only once.
                work(&mut scratch, index, unsafe { slots.line(index, width) });
            }
        }
    };
    let needed = workers.count.min(workers.threads).min(count.div_ceil(workers.at_once));
    if needed <= 1 {
        // Work that is too little for two threads is not worth releasing and retaking the host's lock.
        if workers.count <= 1 {
            worker();
        } else {
            workers.host.unlocked(&mut || worker());
        }
        return Ok(lines);
    }
    let pool = pool(workers.threads - 1)?;
    workers.host.unlocked(&mut || {
        pool.in_place_scope(|scope| {
            for _ in 1..needed {
                scope.spawn(|_| worker());
            }
            worker();
        });
    });
    Ok(lines)
}

/// The pool with that many threads. It is replaced when another number is requested, or after a fork, which leaves a
/// pool without threads.
fn pool(threads: usize) -> Result<Arc<ThreadPool>, KernelError> {
    struct Kept {
        threads: usize,
        process: u32,
        pool: Arc<ThreadPool>,
    }
    static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
    let process = std::process::id();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = kept.as_ref().filter(|kept| kept.threads == threads && kept.process == process) {
        return Ok(kept.pool.clone());
    }
    let name = |index| format!("aent-{index}");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
    let pool = Arc::new(pool.map_err(|error| KernelError::Threads(error.to_string()))?);
    if let Some(forked) = kept.take().filter(|kept| kept.process != process) {
        // Dropping it would wake threads that do not exist in this process.
        std::mem::forget(forked);
    }
    *kept = Some(Kept { threads, process, pool: pool.clone() });
    Ok(pool)
}

/// Lines that workers write, each its own.
struct Slots(*mut f64);

impl Slots {
    /// # Safety
    /// The line must be inside the allocation behind the pointer, and nothing else may access it.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that nobody else has the line")]
    unsafe fn line(&self, index: usize, width: usize) -> &mut [f64] {
        // SAFETY: the caller promises it.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(index * width), width) }
    }
}

// SAFETY: only the worker that took a line's index accesses it.
unsafe impl Sync for Slots {}
