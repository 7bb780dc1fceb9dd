//! Runs the kernels' own text on the CPU of any machine, compiled as C++ with `emulation.h`.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use libloading::Library;

use super::Launcher;
use super::source::Source;
use crate::kernels::KernelError;

/// How to run blocks: the number of threads and blocks, and the order in which threads take turns.
#[derive(Clone, Copy)]
pub(super) struct Emulation {
    pub(super) threads: u32,
    pub(super) blocks: u32,
    pub(super) backwards: bool,
    /// Whether to compile one kernel for all sets, which saves compilations.
    pub(super) for_all_sets: bool,
}

impl Launcher for Emulation {
    fn prepare(&self, _source: &Source) -> Result<(), KernelError> {
        Ok(())
    }

    fn launch(&self, source: &Source, _rows: i64, task: &[u64]) -> Result<(), KernelError> {
        let source = if self.for_all_sets { source.for_all_sets() } else { *source };
        self.run(&source.text(), source.kernel.name(), task).map_err(KernelError::Cuda)
    }
}

impl Emulation {
    /// Runs a kernel of the text, whose only parameter is a `Task`; the error says what its threads did wrong.
    fn run(&self, text: &str, kernel: &str, task: &[u64]) -> Result<(), String> {
        let compiled = compiled(&format!(
            "{text}\nextern \"C\" void aent_kernel(const void *task) {{ {kernel}(*(const Task *)task); }}\n"
        ));
        let compiled = compiled.lock().unwrap();
        // SAFETY: the header and the line above define both functions with these types. The task contains what the
        // kernel reads, and its tensors are on the CPU and outlive the call.
        let message = unsafe {
            let kernel = *compiled.get::<KernelFn>(b"aent_kernel\0").unwrap();
            let emulate = compiled.get::<EmulateFn>(b"aent_emulate\0").unwrap();
            emulate(kernel, self.blocks, self.threads, task.as_ptr().cast(), self.backwards.into())
        };
        if message.is_null() {
            return Ok(());
        }
        // SAFETY: a message that is not null is a string in the library, which is locked.
        Err(unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned())
    }
}

type KernelFn = unsafe extern "C" fn(*const c_void);
type EmulateFn = unsafe extern "C" fn(KernelFn, c_uint, c_uint, *const c_void, c_int) -> *const c_char;

const HEADER: &str = include_str!("emulation.h");

/// The library of one kernel; its emulation runs one block at a time.
type Compiled = Arc<Mutex<Library>>;

/// The libraries so far, by text. Two tests may want the same.
static LIBRARIES: LazyLock<Mutex<HashMap<String, Slot>>> = LazyLock::new(Mutex::default);

/// Locked while its library is compiled.
type Slot = Arc<Mutex<Option<Compiled>>>;

fn compiled(text: &str) -> Compiled {
    let slot = Arc::clone(LIBRARIES.lock().unwrap().entry(text.to_owned()).or_default());
    let mut slot = slot.lock().unwrap();
    Arc::clone(slot.get_or_insert_with(|| Arc::new(Mutex::new(compile(text)))))
}

fn compile(text: &str) -> Library {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("kernel.cpp"), folder.path().join("kernel.so"));
    fs::write(&source, format!("{HEADER}{text}")).unwrap();
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    // Such as `-fsanitize=undefined -fno-sanitize-recover`.
    let flags = std::env::var("EMULATION_FLAGS").unwrap_or_default();
    let output = Command::new(compiler)
        .args(["-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-x", "c++"])
        .args(flags.split_whitespace())
        .arg(&source)
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // SAFETY: the library was just compiled from our own text, and runs nothing when loaded.
    unsafe { Library::new(&library) }.unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of running the body in 64 threads.
    fn verdict(body: &str) -> Result<(), String> {
        let text = format!(
            "typedef unsigned u32; struct Task {{ unsigned long long word; }};\
             void kernel(const Task &task) {{ __shared__ Shared<u32> room[64]; const u32 own = threadIdx.x; {body} }}"
        );
        let emulation = Emulation { threads: 64, blocks: 2, backwards: false, for_all_sets: false };
        emulation.run(&text, "kernel", &[0])
    }

    #[test]
    fn threads_that_meet_are_in_order() {
        verdict(
            "room[own] = own; __syncthreads(); u32 other = room[63 - own]; __syncthreads(); room[own] = other;\
             atomicAdd(&room[own], 1u); other = __shfl_xor_sync(~0u, other, 16); __syncthreads();",
        )
        .unwrap();
    }

    #[test]
    fn a_missing_barrier_is_an_error() {
        for body in [
            "room[own] = 1; u32 other = room[63 - own];",
            "u32 other = room[63 - own]; room[own] = 1;",
            "room[own / 2] = 1;",
            "atomicAdd(&room[0], 1u); u32 other = room[0];",
        ] {
            let error = verdict(body).unwrap_err();
            assert!(error.contains("no barrier"), "{body}: {error}");
        }
    }

    #[test]
    fn a_barrier_that_not_all_reach_is_an_error() {
        for body in [
            "if (own < 32) __syncthreads();",
            "if (own % 2) __shfl_xor_sync(~0u, own, 1);",
            "if (own % 2)\n __syncthreads();\n else\n __syncthreads();",
            "for (u32 i = 0; i < own; i++) __syncthreads();",
        ] {
            let error = verdict(body).unwrap_err();
            assert!(error.contains("barrier") || error.contains("wait"), "{body}: {error}");
        }
    }
}
