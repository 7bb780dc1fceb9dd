//! Compiles kernels with NVRTC, once for each kernel, device and user.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::PathBuf;
use std::sync::OnceLock;

use cudarc::nvrtc::result as nvrtc;
use cudarc::nvrtc::sys;

use super::{cache, nvrtc_library};
use crate::kernels::KernelError;
use crate::tensor::Host;

/// A compute capability to compile for: 90 for `sm_90`.
pub(super) type Architecture = u32;

/// Why kernels cannot be compiled here, if they cannot.
pub(super) fn missing(host: &dyn Host) -> Option<&'static str> {
    compiler(host).err().map(String::as_str)
}

/// What a driver makes of a text's module, from the user's cache or newly compiled. What it refuses of the cache is forgotten
/// and compiled once more: another driver may have put it there.
pub(super) fn load<T>(
    host: &dyn Host,
    text: &str,
    architecture: Architecture,
    load: impl Fn(&[u8]) -> Result<T, KernelError>,
) -> Result<T, KernelError> {
    let compiler = compiler(host).map_err(|reason| KernelError::Cuda(reason.clone()))?;
    let target = compiler.target(architecture);
    let key = format!("NVRTC {:?} {target}\n{text}", compiler.version);
    let compile = || {
        let (image, _) = compile(host, text, &target)?;
        cache::write(&key, &image);
        Ok(image)
    };
    kept_or_compiled(cache::read(&key), || cache::forget(&key), compile, load)
}

fn kept_or_compiled<T>(
    kept: Option<Vec<u8>>,
    forget: impl Fn(),
    compile: impl Fn() -> Result<Vec<u8>, KernelError>,
    load: impl Fn(&[u8]) -> Result<T, KernelError>,
) -> Result<T, KernelError> {
    if let Some(loaded) = kept.and_then(|image| load(&image).map_err(|_| forget()).ok()) {
        return Ok(loaded);
    }
    load(&compile()?).inspect_err(|_| forget())
}

/// Compiles a text for `sm_..`, or to PTX for `compute_..`, and also returns the compiler's log, which shows for
/// instance how many registers are used.
pub(super) fn compile(host: &dyn Host, text: &str, target: &str) -> Result<(Vec<u8>, String), KernelError> {
    if let Some(reason) = missing(host) {
        return Err(KernelError::Cuda(reason.to_owned()));
    }
    let program = Program::new(text)?;
    let architecture = format!("--gpu-architecture={target}");
    // Warning 177 is about unused constants, and not every kernel uses all of them.
    let options = [&architecture, "-std=c++17", "--ptxas-options=-v", "--diag-suppress=177"];
    // SAFETY: the program is alive and has not been compiled before.
    let result = unsafe { nvrtc::compile_program(program.0, &options) };
    // SAFETY: the program was compiled, successfully or not.
    let log = unsafe { nvrtc::get_program_log(program.0) }.map_err(failed)?;
    let log = text_of(&log);
    if let Err(error) = result {
        return Err(KernelError::Cuda(format!("NVRTC refuses a kernel: {error}\n{log}")));
    }
    Ok((program.image(target)?, log))
}

/// The compiler, or why there is none; the host is asked only once where it might be.
fn compiler(host: &dyn Host) -> Result<&'static Compiler, &'static String> {
    static COMPILER: OnceLock<Result<Compiler, String>> = OnceLock::new();
    if let Some(found) = COMPILER.get() {
        return found.as_ref();
    }
    // Ask before entering the initialiser: the host may take a lock.
    let packages = host.packages();
    COMPILER.get_or_init(|| Compiler::find(packages)).as_ref()
}

struct Compiler {
    version: (c_int, c_int),
    architectures: Vec<c_int>,
}

impl Compiler {
    fn find(packages: Option<PathBuf>) -> Result<Self, String> {
        nvrtc_library::load(packages);
        // SAFETY: loading NVRTC runs only its initialisers.
        if !unsafe { sys::is_culib_present() } {
            return Err(
                "the compiler NVRTC is not found, which torch's own packages for CUDA bring: install \
                        `nvidia-cuda-nvrtc`, or put `libnvrtc.so` on the library path"
                    .to_owned(),
            );
        }
        let failed = |error: nvrtc::NvrtcError| format!("NVRTC does not work: {error}");
        let (mut version, mut count) = ((0, 0), 0);
        // SAFETY: each pointer points to a value of its type, and the vector is as long as NVRTC says.
        unsafe {
            sys::nvrtcVersion(&raw mut version.0, &raw mut version.1).result().map_err(failed)?;
            sys::nvrtcGetNumSupportedArchs(&raw mut count).result().map_err(failed)?;
            let mut architectures = vec![0; count as usize];
            sys::nvrtcGetSupportedArchs(architectures.as_mut_ptr()).result().map_err(failed)?;
            Ok(Self { version, architectures })
        }
    }

    /// A device newer than the compiler gets PTX, which its driver compiles.
    fn target(&self, architecture: Architecture) -> String {
        if self.architectures.contains(&(architecture as c_int)) {
            return format!("sm_{architecture}");
        }
        let older = self.architectures.iter().filter(|known| **known <= architecture as c_int).max();
        format!("compute_{}", older.copied().unwrap_or(80))
    }
}

/// An NVRTC program with its text, to which it may refer.
struct Program(sys::nvrtcProgram, #[expect(dead_code, reason = "NVRTC may refer to it")] CString);

impl Program {
    fn new(text: &str) -> Result<Self, KernelError> {
        let text = CString::new(text).map_err(|error| KernelError::Cuda(error.to_string()))?;
        let program = nvrtc::create_program(&text, Some(c"aent.cu")).map_err(failed)?;
        Ok(Self(program, text))
    }

    fn image(&self, target: &str) -> Result<Vec<u8>, KernelError> {
        if target.starts_with("compute_") {
            // SAFETY: the program is compiled.
            let text = unsafe { nvrtc::get_ptx(self.0) }.map_err(failed)?;
            return Ok(text.into_iter().map(|byte| byte as u8).collect());
        }
        let mut size = 0;
        // SAFETY: the program is compiled, and the vector has the size that NVRTC returned.
        unsafe {
            sys::nvrtcGetCUBINSize(self.0, &raw mut size).result().map_err(failed)?;
            let mut image = vec![0u8; size];
            sys::nvrtcGetCUBIN(self.0, image.as_mut_ptr().cast()).result().map_err(failed)?;
            Ok(image)
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: `create_program` made it, and it is not used again.
        let _ = unsafe { nvrtc::destroy_program(self.0) };
    }
}

fn failed(error: nvrtc::NvrtcError) -> KernelError {
    KernelError::Cuda(format!("NVRTC: {error}"))
}

fn text_of(text: &[c_char]) -> String {
    let bytes: Vec<u8> = text.iter().map(|byte| *byte as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or(String::new(), |text| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What comes of an image in the cache and of one that is compiled, and what was done meanwhile. The driver takes what
    /// begins with `good`.
    fn outcome(kept: Option<&str>, compiled: Option<&str>) -> (Option<String>, Vec<&'static str>) {
        let done = RefCell::new(Vec::new());
        let refused = || KernelError::Cuda("refused".to_owned());
        let loaded = kept_or_compiled(
            kept.map(|image| image.as_bytes().to_vec()),
            || done.borrow_mut().push("forgotten"),
            || {
                done.borrow_mut().push("compiled");
                compiled.map(|image| image.as_bytes().to_vec()).ok_or_else(refused)
            },
            |image| {
                let image = String::from_utf8_lossy(image).into_owned();
                if image.starts_with("good") { Ok(image) } else { Err(refused()) }
            },
        );
        (loaded.ok(), done.into_inner())
    }

    #[test]
    fn what_a_driver_refuses_of_the_cache_is_compiled_once_more() {
        let good = |image: &str| Some(image.to_owned());
        assert_eq!(outcome(Some("good kept"), None), (good("good kept"), vec![]));
        assert_eq!(outcome(None, Some("good new")), (good("good new"), vec!["compiled"]));
        assert_eq!(outcome(Some("bad"), Some("good new")), (good("good new"), vec!["forgotten", "compiled"]));
        assert_eq!(outcome(Some("bad"), None), (None, vec!["forgotten", "compiled"]));
        assert_eq!(outcome(None, Some("bad")), (None, vec!["compiled", "forgotten"]));
    }
}
