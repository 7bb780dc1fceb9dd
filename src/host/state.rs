//! The safe side of `torch_state.cpp`: whether a tensor can be used and read, and the state of autocast.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

use tch::{Kind, Tensor};

use crate::tensor::{DType, Unusable};

/// Why operations refuse this tensor, if they do. A tensor that passes has a size, a kind and a device that tch knows;
/// [`is_readable`] tells whether a kernel can read it.
pub(super) fn unusable(tensor: &Tensor) -> Option<Unusable> {
    let flags = flags(tensor);
    let refuse = |expected, found: &str| Some(Unusable { expected, found: found.to_owned() });
    let is = |flag| flags & flag != 0;
    if is(UNDEFINED) {
        return refuse("a tensor", "an undefined one");
    }
    if is(TRANSFORMED) {
        return refuse(
            "a plain tensor",
            "one inside of a transform of `torch.func`, such as `vmap` or `grad`",
        );
    }
    if is(NESTED) {
        return refuse("a strided tensor", "a nested one (`torch.nested.to_padded_tensor` makes it strided)");
    }
    if is(SPARSE) {
        return refuse("a strided tensor", "one of a sparse layout (`.to_dense()` makes it strided)");
    }
    if is(UNSIZED) {
        return refuse("a tensor of known sizes", "one whose sizes are symbols");
    }
    if is(META) {
        return refuse("a tensor with values", "one on the device `meta`");
    }
    if tensor.f_kind().is_err() {
        return Some(Unusable {
            expected: "f32, f64, bf16, f16, bool or int64",
            found: unknown_kind(tensor),
        });
    }
    if is(UNREADABLE) && !is(DISPATCHED) {
        return refuse("a tensor with values", "one whose storage was freed or never filled");
    }
    None
}

/// The type of its elements, including types that tch has no name for.
pub(super) fn dtype(tensor: &Tensor) -> DType {
    match tensor.f_kind() {
        Ok(kind) => kind.into(),
        Err(_) => DType::Other(unsigned(tensor).unwrap_or("another type")),
    }
}

/// Whether a kernel that follows strides finds the elements in memory.
pub(super) fn is_readable(tensor: &Tensor) -> bool {
    flags(tensor) & (UNDEFINED | UNREADABLE) == 0
}

/// Whether torch marks the tensor as zeros without filling its memory.
pub(super) fn is_zero(tensor: &Tensor) -> bool {
    flags(tensor) & ZERO != 0
}

/// Whether memory holds the negatives of the values.
pub(super) fn is_negated(tensor: &Tensor) -> bool {
    flags(tensor) & NEGATED != 0
}

/// Whether the tensor carries a tangent of torch's forward-mode differentiation.
pub(super) fn has_tangent(tensor: &Tensor) -> bool {
    // SAFETY: the tensor is alive, and a `C_tensor` is an `at::Tensor`.
    unsafe { aent_has_tangent(tensor.as_ptr().cast()) }
}

/// The kind in which `torch.autocast` computes matrix products on the tensor's device, if it is on.
pub(super) fn autocast_kind(tensor: &Tensor) -> Option<Kind> {
    // SAFETY: the tensor is alive, and a `C_tensor` is an `at::Tensor`.
    let number = unsafe { aent_autocast_kind(tensor.as_ptr().cast()) };
    [Kind::Half, Kind::Float, Kind::BFloat16].into_iter().find(|kind| number_of(*kind) == number)
}

/// Sets whether this thread records gradients, until it is dropped.
pub(super) struct RecordGradient {
    before: bool,
    /// The setting belongs to one thread.
    _thread: PhantomData<*mut ()>,
}

impl RecordGradient {
    pub(super) fn new(record: bool) -> Self {
        Self { before: set_recording(record), _thread: PhantomData }
    }
}

impl Drop for RecordGradient {
    fn drop(&mut self) {
        set_recording(self.before);
    }
}

/// Turns recording on or off, and returns whether it was on before.
fn set_recording(record: bool) -> bool {
    // SAFETY: it only changes a setting of this thread.
    unsafe { torch_sys::at_grad_set_enabled(i32::from(record)) != 0 }
}

/// Turns `torch.autocast` off in this thread until it is dropped.
pub(super) struct NoAutocast {
    guard: *mut c_void,
    /// The setting belongs to one thread.
    _thread: PhantomData<*mut ()>,
}

impl NoAutocast {
    pub(super) fn new() -> Self {
        // SAFETY: it only changes a setting of this thread, which `drop` restores.
        Self { guard: unsafe { aent_autocast_off() }, _thread: PhantomData }
    }
}

impl Drop for NoAutocast {
    fn drop(&mut self) {
        // SAFETY: the guard came from `aent_autocast_off` in this thread, and is returned once.
        unsafe { aent_autocast_back(self.guard) }
    }
}

// The same values as in C++.
const UNDEFINED: u32 = 1;
const TRANSFORMED: u32 = 2;
const NESTED: u32 = 4;
const SPARSE: u32 = 8;
const UNSIZED: u32 = 16;
const META: u32 = 32;
const DISPATCHED: u32 = 64;
const UNREADABLE: u32 = 128;
const NEGATED: u32 = 256;
const ZERO: u32 = 512;

unsafe extern "C" {
    fn aent_flags(tensor: *const c_void) -> u32;
    fn aent_has_tangent(tensor: *const c_void) -> bool;
    fn aent_kind_name(tensor: *const c_void) -> *const c_char;
    fn aent_autocast_kind(tensor: *const c_void) -> i32;
    fn aent_autocast_off() -> *mut c_void;
    fn aent_autocast_back(guard: *mut c_void);
}

fn flags(tensor: &Tensor) -> u32 {
    // SAFETY: the tensor is alive, and a `C_tensor` is an `at::Tensor`.
    unsafe { aent_flags(tensor.as_ptr().cast()) }
}

fn cpp_name(tensor: &Tensor) -> &'static str {
    // SAFETY: the tensor is alive and defined; C++ returns a string that is never freed.
    let name = unsafe { CStr::from_ptr(aent_kind_name(tensor.as_ptr().cast())) };
    name.to_str().unwrap_or("another kind")
}

fn unsigned(tensor: &Tensor) -> Option<&'static str> {
    match cpp_name(tensor) {
        "UInt16" => Some("u16"),
        "UInt32" => Some("u32"),
        "UInt64" => Some("u64"),
        _ => None,
    }
}

/// The name of a kind that tch does not know.
fn unknown_kind(tensor: &Tensor) -> String {
    match unsigned(tensor) {
        Some(name) => format!("{name} (`.to(torch.int64)` makes it int64)"),
        None => cpp_name(tensor).to_lowercase(),
    }
}

/// The number of an autocast kind in C++.
fn number_of(kind: Kind) -> i32 {
    match kind {
        Kind::Half => 5,
        Kind::Float => 6,
        Kind::BFloat16 => 15,
        _ => unreachable!("autocast has no {kind:?}"),
    }
}
