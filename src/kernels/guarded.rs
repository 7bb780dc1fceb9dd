//! Memory that ends where the pages that may be touched end: a read or write behind it kills the test.

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Fills the room before the memory, which must not be written.
const BEFORE: u8 = 0xaa;

/// As many numbers as it was made of, and nothing behind them.
pub(crate) struct Guarded<E> {
    pages: NonNull<c_void>,
    /// Of the pages that may be touched.
    bytes: usize,
    length: usize,
    of: PhantomData<E>,
}

impl<E: Copy> From<Vec<E>> for Guarded<E> {
    fn from(values: Vec<E>) -> Self {
        let page = rustix::param::page_size();
        let bytes = size_of_val(&*values).next_multiple_of(page).max(page);
        // SAFETY: new pages, which nothing else uses; the last of them is taken away again.
        let pages = unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            let pages =
                mmap_anonymous(std::ptr::null_mut(), bytes + page, flags, MapFlags::PRIVATE).expect("memory");
            mprotect(pages.byte_add(bytes), page, MprotectFlags::empty()).expect("a page that is closed");
            pages.write_bytes(BEFORE, bytes);
            NonNull::new(pages).expect("an address")
        };
        let mut made = Self { pages, bytes, length: values.len(), of: PhantomData };
        made.copy_from_slice(&values);
        made
    }
}

impl<E> Guarded<E> {
    /// The numbers end with the pages, whose size is a multiple of theirs.
    fn start(&self) -> *mut E {
        self.pages.as_ptr().wrapping_byte_add(self.bytes - self.length * size_of::<E>()).cast()
    }
}

impl<E> Deref for Guarded<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        // SAFETY: `from` wrote that many numbers there.
        unsafe { slice::from_raw_parts(self.start(), self.length) }
    }
}

impl<E> DerefMut for Guarded<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        // SAFETY: the same, and nothing else leads there.
        unsafe { slice::from_raw_parts_mut(self.start(), self.length) }
    }
}

impl<E: Copy> Clone for Guarded<E> {
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl<E: PartialEq> PartialEq for Guarded<E> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<E: fmt::Debug> fmt::Debug for Guarded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<E> Drop for Guarded<E> {
    fn drop(&mut self) {
        let before = self.bytes - self.length * size_of::<E>();
        // SAFETY: these bytes were written when the pages were made, and the pages are given back once.
        let untouched = unsafe {
            let room = slice::from_raw_parts(self.pages.as_ptr().cast::<u8>(), before);
            let untouched = room.iter().all(|byte| *byte == BEFORE);
            munmap(self.pages.as_ptr(), self.bytes + rustix::param::page_size()).expect("pages to give back");
            untouched
        };
        assert!(untouched || std::thread::panicking(), "something was written before the memory");
    }
}

#[cfg(test)]
mod tests {
    use super::Guarded;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn what_is_written_before_the_memory_is_noticed() {
        let mut memory = Guarded::from(vec![1.0_f32, 2.0, 3.0]);
        memory[2] = 4.0;
        assert_eq!(*memory, [1.0, 2.0, 4.0]);
        drop(memory.clone());
        // SAFETY: three numbers do not fill the page, and this is the place before them.
        unsafe { memory.as_mut_ptr().sub(1).write(0.0) };
        assert!(catch_unwind(AssertUnwindSafe(|| drop(memory))).is_err());
    }
}
