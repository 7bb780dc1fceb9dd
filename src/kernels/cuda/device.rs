//! Runs kernels on an NVIDIA GPU: in torch's own context, on torch's current stream.

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

/// One GPU.
pub(super) struct Gpu {
    /// Its index in torch.
    ordinal: usize,
    context: Context,
    architecture: compile::Architecture,
    processors: u32,
    host: &'static dyn Host,
    functions: Mutex<HashMap<Source, Loaded>>,
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
    /// The device with that index, or why kernels cannot run on it.
    pub(super) fn new(host: &'static dyn Host, ordinal: usize) -> Result<Self, String> {
        // SAFETY: loading the driver runs only its initialisers.
        if !unsafe { sys::is_culib_present() } {
            return Err("the driver's library `libcuda.so` is not found".to_owned());
        }
        host.cuda_stream(ordinal).map_err(|error| error.to_string())?;
        let gpu = Self::found(host, ordinal).map_err(|error| format!("the driver says `{error:?}`"))?;
        if gpu.architecture < OLDEST {
            let [major, minor] = [gpu.architecture / 10, gpu.architecture % 10];
            return Err(format!("its compute capability is {major}.{minor}, and kernels need 8.0"));
        }
        if let Some(reason) = compile::missing(host) {
            return Err(reason.to_owned());
        }
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

    /// The kernel on this device, compiled and loaded at its first use. The context must be current.
    fn loaded(&self, source: &Source) -> Result<Loaded, KernelError> {
        let functions = || self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = functions().get(source) {
            return Ok(*loaded);
        }
        // Hold no lock while the host is asked, which may take its own; at worst two threads compile the same.
        let image = compile::module(self.host, source, self.architecture)?;
        let name =
            CString::new(source.kernel.name()).map_err(|error| KernelError::Cuda(error.to_string()))?;
        // SAFETY: NVRTC made the image: a whole module or, as text, one that ends with a zero. It has a kernel with
        // that name, and stays loaded until the process ends.
        let loaded = unsafe {
            let module = result::module::load_data(image.as_ptr().cast()).map_err(failed)?;
            let function = result::module::get_function(module, name).map_err(failed)?;
            let fitting =
                result::occupancy::max_active_block_per_multiprocessor(function, source.threads as c_int, 0)
                    .map_err(failed)?;
            Loaded { function, blocks: self.processors * (fitting as u32).max(1) }
        };
        functions().insert(*source, loaded);
        Ok(loaded)
    }

    fn stream(&self) -> Result<sys::CUstream, KernelError> {
        Ok(self.host.cuda_stream(self.ordinal)?.cast())
    }
}

impl Launcher for Gpu {
    fn launch(&self, source: &Source, rows: i64, task: &[u64]) -> Result<(), KernelError> {
        let _current = Current::set(self.context).map_err(failed)?;
        let loaded = self.loaded(source)?;
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

fn failed(error: DriverError) -> KernelError {
    KernelError::Cuda(format!("the driver says `{error:?}`"))
}
