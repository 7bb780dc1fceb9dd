//! Loads libtorch's CUDA half, which the linker leaves out because no symbol of it is used by name.

use std::path::Path;

use super::KernelError;

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use, unless it is loaded already, and says whether
/// this process has it now. A libtorch without CUDA has no such file, which is not an error.
///
/// On a machine with an NVIDIA driver this happens before `main`. Elsewhere it does not, because it costs a tenth
/// of a second and more than 200 MB; whoever is told to use CUDA calls this first, before torch is asked anything
/// about devices, since torch remembers that it found no CUDA.
pub fn load_cuda() -> Result<bool, KernelError> {
    platform::load()
}

/// Before `main`, so that `tch::Cuda::is_available()` is right in any program that depends on this crate.
#[ctor::ctor(unsafe)]
fn load_where_a_driver_is() {
    let marks = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/proc/driver/nvidia"];
    if marks.iter().any(|mark| Path::new(mark).exists()) {
        // Nothing can be reported yet; whoever asks for CUDA calls `load_cuda` again and is told.
        let _ = load_cuda();
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs;
    use std::path::PathBuf;

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};

    use super::KernelError;

    pub(super) fn load() -> Result<bool, KernelError> {
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
                // What it registered stays in use until the process ends, and so must the library.
                std::mem::forget(library);
                Ok(true)
            }
            Err(error) => Err(KernelError::CudaLibrary { path, reason: error.to_string() }),
        }
    }

    /// The file of that name that is mapped into this process.
    fn mapped(name: &str) -> Option<PathBuf> {
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        maps.lines()
            .filter_map(|line| line.find('/').map(|start| PathBuf::from(&line[start..])))
            .find(|path| path.file_name().is_some_and(|found| found == name))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::KernelError;

    /// libtorch has CUDA on Linux and Windows, and only Linux is supported.
    pub(super) fn load() -> Result<bool, KernelError> {
        Ok(false)
    }
}
