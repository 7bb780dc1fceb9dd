//! Who is inside of what on this thread, so that code of Python which a step calls gets an error where it would wait for
//! itself.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// What this thread is inside of.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Something that a thread can be inside of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(u64);

impl Turn {
    /// One that nobody is inside of.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether this thread is inside of it.
    pub(crate) fn is_mine(self) -> bool {
        INSIDE.with_borrow(|inside| inside.contains(&self.0))
    }

    /// Runs something inside of it.
    pub(crate) fn inside<T>(self, run: impl FnOnce() -> T) -> T {
        INSIDE.with_borrow_mut(|inside| inside.push(self.0));
        let _leaving = Leaving;
        run()
    }
}

/// Takes the last entry back, also after a panic.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(Vec::pop);
    }
}
