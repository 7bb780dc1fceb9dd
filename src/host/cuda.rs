//! Loads libtorch's CUDA half, which the linker leaves out because no symbol of it is used by name.

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use crate::tensor::TensorError;

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use, unless it is loaded already, and returns whether this
/// process has it now. A libtorch without CUDA has no such file, which is not an error.
///
/// On a machine with an NVIDIA driver this happens before `main`. Elsewhere it does not, because it costs a tenth of a
/// second and more than 200 MB. Code that is asked to use CUDA calls this before it asks torch about devices, since torch
/// remembers that it found no CUDA.
pub fn load_cuda() -> Result<bool, TensorError> {
    platform::load()
}

/// The driver's handle to the current stream of a GPU.
pub(super) fn stream(ordinal: usize) -> Result<*mut c_void, TensorError> {
    // SAFETY: this is how torch declares it in `torch/csrc/inductor/aoti_torch/c/shim.h`.
    let ask = unsafe { platform::torch_function::<StreamFn>("aoti_torch_get_current_cuda_stream") };
    let ask = ask.ok_or_else(|| TensorError::new("libtorch's CUDA library is not loaded"))?;
    let mut stream = std::ptr::null_mut();
    // SAFETY: the pointer is to a stream, and torch refuses a device that is not there.
    if unsafe { ask(ordinal as i32, &raw mut stream) } == 0 {
        return Ok(stream);
    }
    Err(TensorError::new(format!("torch has no current stream on device {ordinal}")))
}

/// The folder of Python packages that this libtorch is installed in, if any.
pub(super) fn packages() -> Option<PathBuf> {
    platform::packages()
}

/// `aoti_torch_get_current_cuda_stream`.
type StreamFn = unsafe extern "C" fn(device: i32, stream: *mut *mut c_void) -> i32;

/// Runs before `main`, so that `tch::Cuda::is_available()` is right in any program that depends on this crate.
#[ctor::ctor(unsafe)]
fn load_where_a_driver_is() {
    let marks = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/proc/driver/nvidia"];
    if marks.iter().any(|mark| Path::new(mark).exists()) {
        // Errors cannot be reported yet; code that needs CUDA calls `load_cuda` again and gets them.
        let _ = load_cuda();
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs;
    use std::path::PathBuf;

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};

    use crate::tensor::TensorError;

    pub(super) fn load() -> Result<bool, TensorError> {
        if mapped("libtorch_cuda.so").is_some() {
            return Ok(true);
        }
        let Some(path) = mapped("libtorch_cpu.so").map(|cpu| cpu.with_file_name("libtorch_cuda.so")) else {
            return Ok(false);
        };
        if !path.exists() {
            return Ok(false);
        }
        // SAFETY: the library's initialisers register kernels with the libtorch that is already mapped from the
        // same folder, which is how torch itself loads it; they need nothing from this process.
        match unsafe { Library::open(Some(&path), RTLD_LAZY | RTLD_GLOBAL) } {
            Ok(library) => {
                // The registered kernels are in use until the process ends, so the library must stay loaded.
                std::mem::forget(library);
                Ok(true)
            }
            Err(error) => Err(TensorError::new(format!("`{}` cannot be loaded: {error}", path.display()))),
        }
    }

    pub(super) fn packages() -> Option<PathBuf> {
        Some(mapped("libtorch_cpu.so")?.parent()?.parent()?.parent()?.to_owned())
    }

    /// The function with that name in libtorch's CUDA half, if that is loaded.
    ///
    /// # Safety
    /// `F` must be the type of the function.
    pub(super) unsafe fn torch_function<F: Copy>(name: &str) -> Option<F> {
        let path = mapped("libtorch_cuda.so")?;
        // SAFETY: the library is loaded already, so no initialiser runs.
        let library = unsafe { Library::open(Some(&path), RTLD_LAZY) }.ok()?;
        // SAFETY: the caller guarantees the type; the library stays mapped until the process ends.
        unsafe { library.get::<F>(name.as_bytes()) }.ok().map(|function| *function)
    }

    /// The file with that name that is mapped into this process.
    fn mapped(name: &str) -> Option<PathBuf> {
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        maps.lines()
            .filter_map(|line| line.find('/').map(|start| PathBuf::from(&line[start..])))
            .find(|path| path.file_name().is_some_and(|found| found == name))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use crate::tensor::TensorError;

    /// libtorch has CUDA on Linux and Windows, and only Linux is supported.
    pub(super) fn load() -> Result<bool, TensorError> {
        Ok(false)
    }

    pub(super) fn packages() -> Option<std::path::PathBuf> {
        None
    }

    pub(super) unsafe fn torch_function<F: Copy>(_name: &str) -> Option<F> {
        None
    }
}
