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

/// An empty tensor like `[B, T, V]` logits whose rows begin where theirs do within 16 bytes: where they do not, a GPU moves only 2
/// or 4 bytes at a time. None where any new tensor is like that, or where it would take an eighth more memory.
pub(super) fn empty_alike(logits: &Tensor) -> Result<Option<Tensor>, KernelError> {
    let (size, stride) = (logits.size(), logits.stride());
    let (&[batch, time, vocabulary], &[by_batch, by_time, 1]) = (size.as_slice(), stride.as_slice()) else {
        return Ok(None);
    };
    let bytes = logits.dtype().bytes() as i64;
    let Some(start) = logits.pointer()? else { return Ok(None) };
    let lead = start as i64 % 16 / bytes;
    let by_time = if time == 1 { by_batch } else { by_time };
    let by_batch = if batch == 1 { time * by_time } else { by_batch };
    if by_time < vocabulary || by_batch % by_time != 0 || by_batch / by_time < time {
        return Ok(None);
    }
    let off = |stride: i64, dense: i64| (stride - dense) * bytes % 16 != 0;
    let room = lead + batch * by_batch;
    let differs = lead != 0 || off(by_time, vocabulary) || off(by_batch, time * vocabulary);
    if !differs || room > batch * time * vocabulary / 8 * 9 {
        return Ok(None);
    }
    let rows = logits.empty(&[room], logits.dtype()).narrow(0, lead, room - lead);
    let rows = rows.reshape(&[batch, by_batch / by_time, by_time]);
    Ok(Some(rows.narrow(1, 0, time).narrow(2, 0, vocabulary).ok()?))
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

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor as TchTensor};

    use super::*;

    /// Where each row begins within 16 bytes.
    fn places(logits: &Tensor) -> Vec<i64> {
        let (size, stride) = (logits.size(), logits.stride());
        let start = address("logits", logits).unwrap() as i64;
        let row = |batch: i64, time: i64| start + 2 * (batch * stride[0] + time * stride[1]);
        (0..size[0]).flat_map(|batch| (0..size[1]).map(move |time| row(batch, time) % 16)).collect()
    }

    #[test]
    fn a_gradient_of_a_slice_lies_as_the_slice_does() {
        let logits = |size: &[i64]| TchTensor::zeros(size, (Kind::BFloat16, Device::Cpu));
        for slice in [
            logits(&[2, 20, 7]).narrow(1, 0, 19),
            logits(&[2, 20, 7]).narrow(1, 1, 19),
            logits(&[2, 20, 66]).narrow(2, 3, 63),
            logits(&[1, 20, 7]).narrow(1, 1, 19),
            logits(&[20, 1, 66]).narrow(2, 1, 65),
        ] {
            let slice = Tensor::from(slice);
            let found = empty_alike(&slice).unwrap().unwrap();
            assert_eq!(found.size(), slice.size());
            assert_eq!(places(&found), places(&slice), "{:?}", slice.stride());
        }
        let others = [
            ("any new tensor is alike", logits(&[2, 20, 7])),
            ("rows of 16 bytes lie so anyway", logits(&[2, 20, 8]).narrow(1, 0, 19)),
            ("too much memory", logits(&[2, 4, 7]).narrow(1, 0, 3)),
            ("elements are apart", logits(&[2, 20, 14]).slice(2, 0, 14, 2)),
            ("rows share elements", logits(&[1, 1, 7]).expand([2, 20, 7], false)),
        ];
        for (why, logits) in others {
            assert!(empty_alike(&logits.into()).unwrap().is_none(), "{why}");
        }
    }
}
