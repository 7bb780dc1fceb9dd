//! Runs kernels on an NVIDIA GPU: in torch's own context, on torch's current stream.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CString, c_int};
use std::sync::{Mutex, PoisonError};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};

use super::source::Source;
use super::{Launcher, compile};
use crate::kernels::KernelError;
use crate::tensor::Host;

/// The oldest architecture with the instructions that the kernels use.
const OLDEST: u32 = 80;

/// A kernel that does next to nothing, to see whether this compiler and this driver go together.
const TRIAL: &str =
    "extern \"C\" __global__ void aent_trial(float *to) { to[threadIdx.x] = expf((float)threadIdx.x); }\n";

/// One GPU.
pub(super) struct Gpu {
    /// Its index in torch.
    ordinal: usize,
    context: Context,
    architecture: compile::Architecture,
    processors: u32,
    host: &'static dyn Host,
    /// The kernels so far; of those that cannot run, why.
    functions: Mutex<HashMap<Source, Result<Loaded, String>>>,
}

/// Why kernels cannot run.
pub(super) struct Reason {
    pub(super) text: String,
    /// Whether it is so until the process ends.
    pub(super) lasting: bool,
}

/// A kernel on the device.
#[derive(Clone, Copy)]
struct Loaded {
    function: sys::CUfunction,
    /// How many of its blocks fit on the device at once.
    blocks: u32,
}

/// The context that everything in a process shares on a device.
#[derive(Clone, Copy)]
struct Context(sys::CUcontext);

// SAFETY: contexts and functions are handles that the driver lets any thread use.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}
// SAFETY: as above.
unsafe impl Send for Loaded {}

impl Gpu {
    /// The device with that index, or why kernels cannot run on it: a small one is compiled and loaded.
    pub(super) fn new(host: &'static dyn Host, ordinal: usize) -> Result<Self, Reason> {
        // SAFETY: loading the driver runs only its initialisers.
        if !unsafe { sys::is_culib_present() } {
            return Err("the driver's library `libcuda.so` is not found".into());
        }
        // The host may not have loaded what it needs for GPUs yet.
        host.cuda_stream(ordinal).map_err(|error| Reason { text: error.to_string(), lasting: false })?;
        let gpu = Self::found(host, ordinal)?;
        if gpu.architecture < OLDEST {
            let [major, minor] = [gpu.architecture / 10, gpu.architecture % 10];
            let text = format!("its compute capability is {major}.{minor}, and kernels need 8.0");
            return Err(text.as_str().into());
        }
        if let Some(reason) = compile::missing(host) {
            return Err(reason.into());
        }
        gpu.function(TRIAL, "aent_trial")?;
        Ok(gpu)
    }

    fn found(host: &'static dyn Host, ordinal: usize) -> Result<Self, DriverError> {
        result::init()?;
        let device = result::device::get(ordinal as c_int)?;
        // SAFETY: the driver returned this device. The context is never released: kernels may run until the process
        // ends.
        let (context, number) = unsafe {
            let number =
                |attribute| result::device::get_attribute(device, attribute).map(|number| number as u32);
            (Context(result::primary_ctx::retain(device)?), number)
        };
        Ok(Self {
            ordinal,
            context,
            architecture: 10 * number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
                + number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            processors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            host,
            functions: Mutex::default(),
        })
    }

    /// The kernel on this device, compiled and loaded at its first use.
    fn loaded(&self, source: &Source) -> Result<Loaded, KernelError> {
        let functions = || self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = functions().get(source) {
            return known.clone().map_err(KernelError::Cuda);
        }
        // Hold no lock while the host is asked, which may take its own; at worst two threads compile the same.
        let loaded = self.function(&source.text(), source.kernel.name()).and_then(|function| {
            // SAFETY: the function was loaded on this device for good.
            let fitting = unsafe {
                result::occupancy::max_active_block_per_multiprocessor(function, source.threads as c_int, 0)
            };
            Ok(Loaded { function, blocks: self.processors * (fitting? as u32).max(1) })
        });
        match loaded {
            Ok(loaded) => {
                functions().insert(*source, Ok(loaded));
                Ok(loaded)
            }
            Err(Reason { text, lasting }) => {
                if lasting {
                    functions().insert(*source, Err(text.clone()));
                }
                Err(KernelError::Cuda(text))
            }
        }
    }

    /// The function of that name in a text.
    fn function(&self, text: &str, name: &str) -> Result<sys::CUfunction, Reason> {
        let name = CString::new(name).map_err(|error| Reason::from(error.to_string().as_str()))?;
        let _current = Current::set(self.context)?;
        let short = Cell::new(false);
        let load = |image: &[u8]| {
            // SAFETY: the image is what NVRTC made, byte for byte: a whole module or, as text, one that ends with a zero.
            // It has a kernel with that name, and stays loaded until the process ends.
            let found = unsafe {
                result::module::load_data(image.as_ptr().cast())
                    .and_then(|module| result::module::get_function(module, name.clone()))
            };
            short.set(found.as_ref().is_err_and(|error| is_short(*error)));
            found.map_err(failed)
        };
        compile::load(self.host, text, self.architecture, load)
            .map_err(|error| Reason { text: error.to_string(), lasting: !short.get() })
    }

    fn stream(&self) -> Result<sys::CUstream, KernelError> {
        Ok(self.host.cuda_stream(self.ordinal)?.cast())
    }
}

impl Launcher for Gpu {
    fn is_captured(&self) -> bool {
        let Ok(_current) = Current::set(self.context) else { return false };
        // SAFETY: the host says that this is a stream of the current context.
        let status = self.stream().map(|stream| unsafe { result::stream::is_capturing(stream) });
        matches!(status, Ok(Ok(sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE)))
    }

    fn prepare(&self, source: &Source) -> Result<(), KernelError> {
        self.loaded(source).map(|_| ())
    }

    fn launch(&self, source: &Source, rows: i64, task: &[u64]) -> Result<(), KernelError> {
        let loaded = self.loaded(source)?;
        let _current = Current::set(self.context).map_err(failed)?;
        let blocks = u32::try_from(rows).unwrap_or(u32::MAX).min(loaded.blocks);
        let mut parameters = [task.as_ptr().cast_mut().cast()];
        // SAFETY: the kernel has one parameter, with the size and layout of the task, which the driver copies. Its
        // tensors are on the device and ordered with the current stream, as torch requires of all its work.
        unsafe {
            result::launch_kernel(
                loaded.function,
                (blocks, 1, 1),
                (source.threads, 1, 1),
                0,
                self.stream()?,
                &mut parameters,
            )
        }
        .map_err(failed)
    }
}

/// Sets a thread's current context until dropped, since torch may use another device there.
struct Current {
    before: Option<sys::CUcontext>,
}

impl Current {
    fn set(context: Context) -> Result<Self, DriverError> {
        let before = result::ctx::get_current()?;
        // SAFETY: the context was retained for good.
        unsafe { result::ctx::set_current(context.0) }?;
        Ok(Self { before })
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: the context was current before, or there was none.
        let _ = unsafe { result::ctx::set_current(self.before.unwrap_or(std::ptr::null_mut())) };
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), lasting: true }
    }
}

impl From<DriverError> for Reason {
    fn from(error: DriverError) -> Self {
        Self { text: format!("the driver says `{error:?}`"), lasting: !is_short(error) }
    }
}

/// Whether there was no memory left, which may be otherwise at the next step.
fn is_short(error: DriverError) -> bool {
    error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY
}

fn failed(error: DriverError) -> KernelError {
    KernelError::Cuda(format!("the driver says `{error:?}`"))
}
