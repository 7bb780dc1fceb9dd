//! The safe side of `autograd_node.cpp`: an autograd node whose backward pass is in Rust.

use std::ffi::{CStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;

use super::of;
use crate::panic::panic_text;
use crate::tensor::{Backward, Differentiated, Made, Tensor as Handle, TensorError};

/// Attaches the values to the graph as a result of the inputs, whose gradients `backward` computes from them and the
/// other saved tensors. Torch refuses the backward pass if any of these was changed in place.
pub(super) fn attach(values: &Tensor, tensors: &Differentiated<'_>, backward: Box<dyn Backward>) -> Made {
    let half = Half { backward, inputs: tensors.inputs.len() };
    let node =
        Node { state: Box::into_raw(Box::new(half)).cast(), backward: call_backward, drop: drop_state };
    let pointers = |tensors: &[&Handle]| -> Result<Vec<*const c_void>, TensorError> {
        tensors.iter().map(|tensor| Ok(of(tensor.host_tensor()?)?.as_ptr().cast())).collect()
    };
    let (inputs, saved) = match (pointers(tensors.inputs), pointers(tensors.saved)) {
        (Ok(inputs), Ok(saved)) => (inputs, saved),
        (Err(error), _) | (_, Err(error)) => {
            drop_state(node.state);
            return Err(error);
        }
    };
    let mut message = [0; ROOM];
    // SAFETY: all tensors are alive and a `C_tensor` is an `at::Tensor`; the lists have the lengths they state; the node
    // owns its state, which C++ passes to `call_backward` and finally to `drop_state`; `ROOM` is the size of the message
    // buffer.
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
        // SAFETY: C++ ends the message with a zero inside its buffer.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) };
        return Err(TensorError::new(text.to_string_lossy().into_owned()));
    }
    // SAFETY: the pointer is to a new `at::Tensor` that nobody else owns.
    Ok(Box::new(unsafe { Tensor::from_ptr(attached.cast()) }))
}

const ROOM: usize = 512;

/// A node's state: the backward pass, and how many of the saved tensors are inputs.
struct Half {
    backward: Box<dyn Backward>,
    inputs: usize,
}

/// Mirrors `aent_node` in C++.
#[repr(C)]
struct Node {
    state: *mut c_void,
    backward: BackwardFn,
    drop: extern "C" fn(*mut c_void),
}

/// Mirrors `aent_tensors` in C++.
#[repr(C)]
struct Tensors {
    first: *const *const c_void,
    count: usize,
}

/// Mirrors `aent_backward` in C++.
#[repr(C)]
struct Backwards {
    /// The inputs, then the other saved tensors.
    saved: Tensors,
    cotangents: *const c_void,
    /// For each input, whether its gradient is wanted.
    wanted: *const bool,
    /// For each input, a slot for its gradient, initially null.
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
}

extern "C" fn call_backward(state: *const c_void, call: *const Backwards) -> bool {
    // SAFETY: C++ passes the state it was given in `attach`, and a call that outlives this function.
    let (half, call) = unsafe { (&*state.cast::<Half>(), &*call) };
    // SAFETY: the lists have the lengths they state, and the tensors outlive the call; the copies share their storage.
    let (saved, cotangents, wanted) = unsafe {
        let saved = std::slice::from_raw_parts(call.saved.first, call.saved.count);
        let copy = |tensor: &*const c_void| Handle::from(Tensor::clone_from_ptr(tensor.cast_mut().cast()));
        let wanted = std::slice::from_raw_parts(call.wanted, half.inputs);
        (saved.iter().map(copy).collect::<Vec<_>>(), copy(&call.cotangents), wanted)
    };
    // A panic must not reach C++.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let (inputs, saved) = saved.split_at(half.inputs);
        let gradients = half.backward.backward(inputs, saved, &cotangents, wanted)?;
        let gradients =
            gradients.into_iter().map(|gradient| gradient.map(|gradient| gradient.tch()).transpose());
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(gradients.collect::<Result<Vec<_>, _>>()?)
    }));
    let text = match made {
        Ok(Ok(gradients)) => {
            for (index, gradient) in gradients.into_iter().enumerate().take(half.inputs) {
                let Some(gradient) = gradient else { continue };
                // SAFETY: there is a slot for each input, and C++ takes ownership of the tensor written there.
                unsafe { call.gradients.add(index).write(ManuallyDrop::new(gradient).as_mut_ptr().cast()) };
            }
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("the backward pass of row statistics panicked: {}", panic_text(&*panic)),
    };
    let length = text.len().min(call.room - 1);
    // SAFETY: the message has `room` bytes; the text and its terminating zero take at most that.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), call.message, length);
        call.message.add(length).write(0);
    }
    false
}

extern "C" fn drop_state(state: *mut c_void) {
    // SAFETY: C++ drops a node once, with the box that `attach` passed to it.
    drop(unsafe { Box::from_raw(state.cast::<Half>()) });
}
