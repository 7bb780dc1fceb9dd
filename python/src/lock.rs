//! Locks that a fork does not leave closed. The thread that held one does not exist in the child, and would never open it.

use std::ops::{Deref, DerefMut};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

/// A value that one thread has at a time. Wait for it without the GIL only: who has it may need the GIL.
pub(crate) struct Lock<T> {
    gate: Gate,
    // Locked and opened behind the closed gate, so that it is free whenever the gate is open.
    value: Mutex<T>,
}

impl<T> Lock<T> {
    /// A value that nobody has.
    pub(crate) fn new(value: T) -> Self {
        Self { gate: Gate::default(), value: Mutex::new(value) }
    }

    /// Waits until no other thread has it. An error where a thread of the process that this one was forked from had it at the
    /// fork: it may be half-changed.
    pub(crate) fn lock(&self) -> Result<Held<'_, T>, Forked> {
        let open = self.gate.close(|_| Err(Forked))?;
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Held { value, _open: open })
    }
}

/// A thread had it when this process was forked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forked;

/// The value, until this is dropped.
pub(crate) struct Held<'a, T> {
    // Fields are dropped in this order.
    value: MutexGuard<'a, T>,
    _open: Open<'a>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// What one thread passes at a time: the process of the thread that is inside, or 0.
#[derive(Default)]
pub(crate) struct Gate(AtomicU32);

impl Gate {
    /// Waits until no other thread of this process is inside. Who was inside at a fork is forgotten.
    pub(crate) fn enter(&self) -> Open<'_> {
        let forget = |holder| Ok::<_, std::convert::Infallible>(holder);
        match self.close(forget) {
            Ok(open) => open,
            Err(never) => match never {},
        }
    }

    /// The same, where `forked` gets the process that a thread inside was of, and says what to do.
    fn close<E>(&self, forked: impl Fn(u32) -> Result<u32, E>) -> Result<Open<'_>, E> {
        let (process, mut free, mut pause) = (process::id(), 0, Duration::from_micros(1));
        while let Err(holder) = self.0.compare_exchange(free, process, Ordering::Acquire, Ordering::Relaxed) {
            free = 0;
            if holder == process {
                sleep(pause);
                pause = (2 * pause).min(Duration::from_millis(1));
            } else if holder != 0 {
                free = forked(holder)?;
            }
        }
        Ok(Open(self))
    }
}

/// Opens the gate again, also after a panic.
pub(crate) struct Open<'a>(&'a Gate);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}
