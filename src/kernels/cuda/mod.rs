//! Row statistics on NVIDIA GPUs: kernels that NVRTC compiles at first use for the plan and the device at hand.

mod cache;
mod compile;
mod device;
mod nvrtc_library;
mod source;
mod task;

#[cfg(test)]
mod emulation;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::tensor::{DType, Host, Tensor};

use self::device::Gpu;
use self::source::{Kernel, Source};
use super::KernelError;
use super::engine::{Chunk, Engine, Found};
use super::plan::Plan;

/// The engine of a GPU, by its number, or why there is none.
pub(super) fn engine(host: &'static dyn Host, ordinal: usize) -> Result<&'static dyn Engine, &'static str> {
    type Engines = HashMap<usize, Result<&'static Kernels<Gpu>, &'static str>>;
    static ENGINES: LazyLock<Mutex<Engines>> = LazyLock::new(Mutex::default);
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = engines.entry(ordinal).or_insert_with(|| match Gpu::new(host, ordinal) {
        // As many as there are GPUs, each for as long as the process runs.
        Ok(gpu) => Ok(Box::leak(Box::new(Kernels(gpu)))),
        Err(reason) => {
            log::warn!(
                "row statistics on cuda:{ordinal} are computed in plain operations of {}: {reason}",
                host.name()
            );
            Err(reason.leak())
        }
    });
    engine.map(|engine| engine as &dyn Engine)
}

/// What can run a kernel: a device, or the emulation that tests use.
trait Launcher {
    /// Runs the kernel on the task of so many rows; it may return before that is done.
    fn launch(&self, source: &Source, rows: i64, task: &[u64]) -> Result<(), KernelError>;
}

/// Masses of more tokens than this are not added exactly.
const MOST_TOKENS: i64 = (1 << 19) - 1;

/// The engine of whatever runs the kernels.
struct Kernels<L>(L);

impl<L: Launcher + Sync> Engine for Kernels<L> {
    fn reads_in_place(&self) -> bool {
        true
    }

    fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError> {
        let rows = rows(chunk);
        let empty = |columns: usize| chunk.logits.empty(&[rows, columns as i64], DType::F64).ok();
        let found = Found { sums: empty(plan.sums())?, facts: empty(plan.facts())? };
        self.run(Kernel::Read, plan, chunk, &found, None)?;
        Ok(found)
    }

    fn write_gradient(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        cotangents: &Tensor,
        gradient: &Tensor,
    ) -> Result<(), KernelError> {
        let found = Found { sums: found.sums.contiguous(), facts: found.facts.contiguous() };
        self.run(Kernel::Gradient, plan, chunk, &found, Some((gradient, &cotangents.contiguous())))
    }
}

impl<L: Launcher> Kernels<L> {
    fn run(
        &self,
        kernel: Kernel,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        gradient: Option<(&Tensor, &Tensor)>,
    ) -> Result<(), KernelError> {
        match gradient {
            Some((gradient, cotangents)) => chunk.check_backward(plan, found, cotangents, gradient)?,
            None => chunk.check()?,
        }
        let rows = rows(chunk);
        if rows == 0 {
            return Ok(());
        }
        if plan.vocabulary > MOST_TOKENS {
            return Err(KernelError::Tensor {
                name: "logits",
                expected: format!("a vocabulary of at most {MOST_TOKENS} tokens on a GPU"),
                found: plan.vocabulary.to_string(),
            });
        }
        let source = Source::new(kernel, plan, chunk.logits.dtype());
        self.0.launch(&source, rows, &task::task(plan, chunk, found, gradient)?)
    }
}

fn rows(chunk: &Chunk) -> i64 {
    chunk.logits.size()[0] * chunk.logits.size()[1]
}
