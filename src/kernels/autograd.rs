//! The safe side of `autograd_node.cpp`: an autograd node with its halves in Rust, and libtorch's threads.
//!
//! Work runs on libtorch's own pool, so that there is one pool, `torch.set_num_threads` holds for it, and its
//! threads never wait for those of another.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tch::{TchError, Tensor};

use super::KernelError;
use super::error::panic_text;
use super::torch_state::address;

/// What a node does when its gradient is asked for.
pub(super) trait Backward: Send + Sync + 'static {
    /// The gradients of the inputs, where they are wanted, from the cotangents of the values. A gradient may lie in the
    /// storage of its input.
    fn backward(
        &self,
        inputs: &[Tensor],
        saved: &[Tensor],
        values: &Tensor,
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, KernelError>;
}

/// The values as a result of the inputs, whose gradients `backward` computes from them and what else is saved. Torch
/// refuses to compute them once any of these has been changed in place.
pub(super) fn attach<B: Backward>(
    inputs: &[&Tensor],
    saved: &[&Tensor],
    values: &Tensor,
    backward: B,
) -> Result<Tensor, KernelError> {
    let half = Half { backward, inputs: inputs.len() };
    let node = Node {
        state: Box::into_raw(Box::new(half)).cast(),
        backward: call_backward::<B>,
        drop: drop_state::<B>,
    };
    let pointers = |tensors: &[&Tensor]| -> Vec<*const c_void> {
        tensors.iter().map(|tensor| tensor.as_ptr().cast()).collect()
    };
    let (inputs, saved) = (pointers(inputs), pointers(saved));
    let mut message = [0; ROOM];
    // SAFETY: all tensors are alive and a `C_tensor` is an `at::Tensor`; the lists are as long as they say; the node
    // owns its state, which C++ hands to `call_backward` and at last to `drop_state`, both of the same `B`; `ROOM` is
    // the room of the message.
    let attached = unsafe {
        aent_attach(
            Tensors { first: inputs.as_ptr(), count: inputs.len() },
            Tensors { first: saved.as_ptr(), count: saved.len() },
            values.as_ptr().cast(),
            node,
            message.as_mut_ptr(),
            ROOM,
        )
    };
    if attached.is_null() {
        // SAFETY: C++ ends the message with a zero inside its room.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) };
        return Err(TchError::Torch(text.to_string_lossy().into_owned()).into());
    }
    // SAFETY: the pointer is to a new `at::Tensor` that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(attached.cast()) })
}

/// Who shares a loop.
#[derive(Clone, Copy)]
pub(super) struct Workers {
    /// How many there are at most.
    pub(super) count: usize,
    /// How many indices one takes at a time, in order; at least one.
    pub(super) at_once: usize,
}

/// `count` lines of `width` numbers, zero until `work` fills the line of an index, on as many threads as libtorch has and
/// `workers` allows. Each worker makes one `scratch`; which worker takes which index is not fixed, so `work` must not
/// depend on what a scratch holds.
pub(super) fn parallel<S>(
    count: usize,
    width: usize,
    workers: Workers,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [f64]) + Sync,
) -> Vec<f64> {
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
    let needed = workers.count.min(count.div_ceil(workers.at_once));
    if needed <= 1 {
        worker();
    } else {
        run_workers(needed, &worker);
    }
    lines
}

/// Asks for large pages under memory that is about to be written for the first time: with small ones, the kernel's
/// work on a page fault costs more than the gradient itself.
pub(super) fn prefer_large_pages(tensor: &Tensor) {
    #[cfg(target_os = "linux")]
    let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
    #[cfg(target_os = "linux")]
    if tensor.device() == tch::Device::Cpu && bytes >= 1 << 22 {
        const PAGE: usize = 4096;
        let Ok(start) = address("logits", tensor) else { return };
        let start = start as usize;
        let aligned = start.next_multiple_of(PAGE);
        let length = bytes - (aligned - start);
        // SAFETY: the range lies inside the tensor's storage, and the advice changes nothing that can be read. Where
        // the kernel does not take it, memory is as it was.
        let _ =
            unsafe { rustix::mm::madvise(aligned as *mut c_void, length, rustix::mm::Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = tensor;
}

const ROOM: usize = 512;

/// A node's state: what the caller gave, and how many of the tensors that come back are inputs.
struct Half<B> {
    backward: B,
    inputs: usize,
}

/// As `aent_node` in C++.
#[repr(C)]
struct Node {
    state: *mut c_void,
    backward: BackwardFn,
    drop: extern "C" fn(*mut c_void),
}

/// As `aent_tensors` in C++.
#[repr(C)]
struct Tensors {
    first: *const *const c_void,
    count: usize,
}

/// As `aent_backward` in C++.
#[repr(C)]
struct Backwards {
    /// The inputs, what else was saved, and the values.
    saved: Tensors,
    cotangents: *const c_void,
    /// For each input whether its gradient is wanted.
    wanted: *const bool,
    /// For each input a place for its gradient, null.
    gradients: *mut *mut c_void,
    message: *mut c_char,
    room: usize,
}

type BackwardFn = extern "C" fn(*const c_void, *const Backwards) -> bool;

unsafe extern "C" {
    fn aent_attach(
        inputs: Tensors,
        saved: Tensors,
        values: *const c_void,
        node: Node,
        message: *mut c_char,
        room: usize,
    ) -> *mut c_void;
    fn aent_parallel(workers: i64, job: *const c_void, work: extern "C" fn(*const c_void, i64));
}

extern "C" fn call_backward<B: Backward>(state: *const c_void, call: *const Backwards) -> bool {
    // SAFETY: C++ passes the state it was given in `attach` of the same `B`, and a call that outlives this function.
    let (half, call) = unsafe { (&*state.cast::<Half<B>>(), &*call) };
    // SAFETY: the lists are as long as they say, and the tensors outlive the call; the copies share their storage.
    let (saved, cotangents, wanted) = unsafe {
        let saved = std::slice::from_raw_parts(call.saved.first, call.saved.count);
        let copy = |tensor: &*const c_void| Tensor::clone_from_ptr(tensor.cast_mut().cast());
        let wanted = std::slice::from_raw_parts(call.wanted, half.inputs);
        (saved.iter().map(copy).collect::<Vec<_>>(), copy(&call.cotangents), wanted)
    };
    // A panic must not reach C++.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let (inputs, saved) = saved.split_at(half.inputs);
        let (values, saved) = saved.split_last().expect("C++ saves the values last");
        half.backward.backward(inputs, saved, values, &cotangents, wanted)
    }));
    let text = match made {
        Ok(Ok(gradients)) => {
            for (index, gradient) in gradients.into_iter().enumerate().take(half.inputs) {
                let Some(gradient) = gradient else { continue };
                // SAFETY: there is a place for each input, and C++ takes over the tensor that is put there.
                unsafe { call.gradients.add(index).write(ManuallyDrop::new(gradient).as_mut_ptr().cast()) };
            }
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("the backward pass of row statistics panicked: {}", panic_text(&*panic)),
    };
    let length = text.len().min(call.room - 1);
    // SAFETY: the message has `room` bytes, and the text and the zero that ends it take at most that.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), call.message, length);
        call.message.add(length).write(0);
    }
    false
}

extern "C" fn drop_state<B: Backward>(state: *mut c_void) {
    // SAFETY: C++ drops a node once, with the box that `attach` of the same `B` gave it.
    drop(unsafe { Box::from_raw(state.cast::<Half<B>>()) });
}

fn run_workers<W: Fn() + Sync>(workers: usize, worker: &W) {
    extern "C" fn work<W: Fn() + Sync>(job: *const c_void, _worker: i64) {
        // SAFETY: `run_workers` passes a job that outlives the call, and its `W` may be shared between threads.
        let job = unsafe { &*job.cast::<Job<'_, W>>() };
        // A panic must not reach C++.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(job.worker)) {
            job.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
    let job = Job { worker, panic: Mutex::new(None) };
    // SAFETY: `aent_parallel` returns only when all workers have.
    unsafe { aent_parallel(workers as i64, std::ptr::from_ref(&job).cast(), work::<W>) };
    if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

/// What workers share besides what they work on.
struct Job<'a, W> {
    worker: &'a W,
    /// What the first of them panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
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
