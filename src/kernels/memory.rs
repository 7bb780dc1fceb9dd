//! Addresses of tensors, for kernels that read strides themselves.

use std::ffi::c_void;

use super::KernelError;
use super::source::refuse;
use crate::tensor::{Device, Tensor};

/// The address of a tensor's first element.
pub(super) fn address(name: &'static str, tensor: &Tensor) -> Result<*mut c_void, KernelError> {
    if let Some(pointer) = tensor.pointer()? {
        return Ok(pointer);
    }
    let found = "one without memory of its own, as subclasses have that wrap other tensors";
    refuse(name, "a plain tensor with values in memory", found)
}

/// Requests large pages for memory that is about to be written for the first time: with small ones, page faults cost
/// more time than the gradient itself.
pub(super) fn prefer_large_pages(tensor: &Tensor) {
    #[cfg(target_os = "linux")]
    let bytes = tensor.numel() * tensor.dtype().bytes();
    #[cfg(target_os = "linux")]
    if tensor.device() == Device::Cpu && bytes >= 1 << 22 {
        const PAGE: usize = 4096;
        let Ok(start) = address("logits", tensor) else { return };
        let start = start as usize;
        let aligned = start.next_multiple_of(PAGE);
        let length = bytes - (aligned - start);
        // SAFETY: the range is inside the tensor's storage, and the advice changes no readable contents. If the kernel
        // refuses it, memory stays unchanged.
        let _ =
            unsafe { rustix::mm::madvise(aligned as *mut c_void, length, rustix::mm::Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (tensor, Device::Cpu);
}
