//! Threads that are inside of the library when the interpreter ends. Python ends a daemon thread where it next takes the GIL,
//! by unwinding its stack, which Rust cannot let through: the process would abort. So the interpreter waits until they are
//! outside, and holds back who comes later.

use pyo3::prelude::*;
use std::cell::Cell;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the interpreter waits for threads that are inside, and how long it holds others back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process in the upper half, and how many of its threads are inside. After a fork the others do not exist.
static INSIDE: AtomicU64 = AtomicU64::new(0);

/// Whether the interpreter ends.
static ENDS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread ends the interpreter.
    static IS_LAST: Cell<bool> = const { Cell::new(false) };
}

/// Counts this thread as inside, until what is returned is dropped. Where the interpreter ends, it ends while this waits,
/// unless somebody waits for this thread.
pub(crate) fn enter() -> Inside {
    loop {
        count(|inside| inside + 1);
        // After it was counted: either `leave` sees this thread, or this thread sees `leave`.
        if IS_LAST.get() || !ENDS.load(Ordering::SeqCst) {
            return Inside;
        }
        count(|inside| inside.saturating_sub(1));
        Python::attach(|py| py.detach(|| sleep(PATIENCE)));
        ENDS.store(false, Ordering::SeqCst);
    }
}

/// A thread inside.
pub(crate) struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        count(|inside| inside.saturating_sub(1));
    }
}

/// Changes the number of this process's threads that are inside, and gives the number before.
fn count(change: impl Fn(u32) -> u32) -> u32 {
    let process = u64::from(process::id()) << 32;
    let of = |packed: u64| if packed >> 32 == process >> 32 { packed as u32 } else { 0 };
    let next = |packed| Some(process | u64::from(change(of(packed))));
    INSIDE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).map_or(0, of)
}

/// Waits for the threads that are inside. Python calls it when the interpreter ends.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) -> PyResult<()> {
    IS_LAST.set(true);
    ENDS.store(true, Ordering::SeqCst);
    let give_up = Instant::now() + PATIENCE;
    while count(|inside| inside) > 0 && Instant::now() < give_up {
        py.detach(|| sleep(Duration::from_millis(1)));
        py.check_signals()?;
    }
    Ok(())
}
