//! Loops over rows on threads of our own, which sleep between calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;

use super::KernelError;
use crate::tensor::Host;

/// Who shares a loop.
#[derive(Clone, Copy)]
pub(super) struct Workers {
    /// Whose tensors are worked on.
    pub(super) host: &'static dyn Host,
    /// How many threads there are, the caller's included.
    pub(super) threads: usize,
    /// How many of them share this loop at most.
    pub(super) count: usize,
    /// How many indices one takes at a time, in order; at least one.
    pub(super) at_once: usize,
}

/// `count` lines of `width` numbers, zero until `work` fills the line of an index. Each worker makes one `scratch`; which worker
/// takes which index is not fixed, so `work` must not depend on what a scratch holds.
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
                // SAFETY: `index` is below `count`, and the counter gives it to nobody else.
                work(&mut scratch, index, unsafe { slots.line(index, width) });
            }
        }
    };
    let needed = workers.count.min(workers.threads).min(count.div_ceil(workers.at_once));
    if needed <= 1 {
        // What one thread does at once is not worth giving a lock back and taking it again.
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

/// The pool of that many threads. It is kept until another number is asked for, or this process was forked, which leaves a
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
        // Dropping it would wake threads that are not there.
        std::mem::forget(forked);
    }
    *kept = Some(Kept { threads, process, pool: pool.clone() });
    Ok(pool)
}

/// Lines that workers write, each those of its own.
struct Slots(*mut f64);

impl Slots {
    /// # Safety
    /// The line must lie inside what the pointer leads to, and nobody else may have it.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that nobody else has the line")]
    unsafe fn line(&self, index: usize, width: usize) -> &mut [f64] {
        // SAFETY: as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(index * width), width) }
    }
}

// SAFETY: a line is only ever written, by the one worker that took its index.
unsafe impl Sync for Slots {}
