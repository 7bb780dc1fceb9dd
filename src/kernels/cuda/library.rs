//! Loads libtorch's CUDA half, which the linker leaves out because no symbol of it is used by name, and the compiler
//! that comes with it.

use std::path::Path;

use crate::kernels::KernelError;

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use, unless it is loaded already, and says whether
/// this process has it now. A libtorch without CUDA has no such file, which is not an error.
///
/// On a machine with an NVIDIA driver this happens before `main`. Elsewhere it does not, because it costs a tenth
/// of a second and more than 200 MB; whoever is told to use CUDA calls this first, before torch is asked anything
/// about devices, since torch remembers that it found no CUDA.
pub fn load_cuda() -> Result<bool, KernelError> {
    platform::load()
}

/// Loads the NVRTC that comes with the libtorch in use, so that it is the one found by name from then on. Where none
/// does, one may still be installed for all programs.
pub(super) fn load_nvrtc() {
    platform::load_nvrtc();
}

/// The function of that name in libtorch's CUDA half, if that is loaded.
///
/// # Safety
/// `F` must be the type of the function.
pub(super) unsafe fn torch_function<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: as the caller promises.
    unsafe { platform::torch_function(name) }
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
    use std::path::{Path, PathBuf};

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};

    use crate::kernels::KernelError;

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

    pub(super) fn load_nvrtc() {
        // Python packages of libtorch keep it in a folder next to theirs, and it looks for the second by name alone.
        let Some(packages) =
            mapped("libtorch_cpu.so").and_then(|cpu| Some(cpu.parent()?.parent()?.parent()?.to_owned()))
        else {
            return;
        };
        for name in ["libnvrtc-builtins.so.", "libnvrtc.so."] {
            let Some(path) = nvidia_library(&packages, name) else { return };
            // SAFETY: the compiler is a library of functions, and its initialisers need nothing from this process.
            if let Ok(library) = unsafe { Library::open(Some(&path), RTLD_LAZY | RTLD_GLOBAL) } {
                std::mem::forget(library);
            }
        }
    }

    /// The library in a folder such as `nvidia/cu13/lib`.
    fn nvidia_library(packages: &Path, name: &str) -> Option<PathBuf> {
        let folders = fs::read_dir(packages.join("nvidia")).ok()?;
        let mut files = folders
            .filter_map(|folder| fs::read_dir(folder.ok()?.path().join("lib")).ok())
            .flatten()
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)));
        files.next()
    }

    pub(super) unsafe fn torch_function<F: Copy>(name: &str) -> Option<F> {
        let path = mapped("libtorch_cuda.so")?;
        // SAFETY: the library is loaded already, so nothing runs.
        let library = unsafe { Library::open(Some(&path), RTLD_LAZY) }.ok()?;
        // SAFETY: the caller knows the type; what is mapped stays until the process ends.
        unsafe { library.get::<F>(name.as_bytes()) }.ok().map(|function| *function)
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
    use crate::kernels::KernelError;

    /// libtorch has CUDA on Linux and Windows, and only Linux is supported.
    pub(super) fn load() -> Result<bool, KernelError> {
        Ok(false)
    }

    pub(super) fn load_nvrtc() {}

    pub(super) unsafe fn torch_function<F: Copy>(_name: &str) -> Option<F> {
        None
    }
}
