//! Row statistics on NVIDIA GPUs: NVRTC compiles kernels at first use, for the plan and the device.

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
use super::engine::{Chunk, Engine, Found, Numbers, WrongId};
use super::plan::Plan;

/// The engine of the GPU with that index, or why there is none.
pub(super) fn engine(host: &'static dyn Host, ordinal: usize) -> Result<&'static dyn Engine, &'static str> {
    type Engines = HashMap<usize, Result<&'static Kernels<Gpu>, &'static str>>;
    static ENGINES: LazyLock<Mutex<Engines>> = LazyLock::new(Mutex::default);
    let known = || ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known().get(&ordinal).copied();
    // Hold no lock while the host is asked, which may take its own.
    let engine = found.unwrap_or_else(|| {
        let made = match Gpu::new(host, ordinal) {
            // Leaks one engine per GPU, which lives as long as the process.
            Ok(gpu) => Ok(&*Box::leak(Box::new(Kernels(gpu)))),
            Err(reason) => {
                let host = host.name();
                log::warn!(
                    "row statistics on cuda:{ordinal} are computed in plain operations of {host}: {reason}"
                );
                Err(&*reason.leak())
            }
        };
        *known().entry(ordinal).or_insert(made)
    });
    engine.map(|engine| engine as &dyn Engine)
}

/// Runs kernels: a device, or the emulation for tests.
trait Launcher {
    /// Runs the kernel on a task of `rows` rows; may return before it has finished.
    fn launch(&self, source: &Source, rows: i64, task: &[u64]) -> Result<(), KernelError>;
}

/// The most tokens whose masses are added exactly.
const MOST_TOKENS: i64 = (1 << 19) - 1;

/// The engine for any launcher.
struct Kernels<L>(L);

impl<L: Launcher + Sync> Engine for Kernels<L> {
    fn reads_in_place(&self) -> bool {
        true
    }

    fn wrong_id(&self) -> WrongId {
        WrongId::MakesNan
    }

    fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError> {
        let rows = rows(chunk);
        let empty = |columns: usize| chunk.logits.empty(&[rows, columns as i64], DType::F64).ok();
        let (sums, facts) = (empty(plan.sums())?, empty(plan.facts())?);
        self.run(Kernel::Read, plan, chunk, [&sums, &facts], None)?;
        Ok(Found { sums: Numbers::Device(sums), facts: Numbers::Device(facts) })
    }

    fn write_gradient(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        cotangents: &Numbers,
        gradient: &Tensor,
    ) -> Result<(), KernelError> {
        chunk.check_backward(plan, found, cotangents, gradient)?;
        let lines = |of: &Numbers, width: usize| of.tensor(width, gradient).map(|lines| lines.contiguous());
        let (sums, facts) = (lines(&found.sums, plan.sums())?, lines(&found.facts, plan.facts())?);
        let cotangents = lines(cotangents, plan.sums())?;
        self.run(Kernel::Gradient, plan, chunk, [&sums, &facts], Some((gradient, &cotangents)))
    }
}

impl<L: Launcher> Kernels<L> {
    fn run(
        &self,
        kernel: Kernel,
        plan: &Plan,
        chunk: &Chunk,
        found: [&Tensor; 2],
        gradient: Option<(&Tensor, &Tensor)>,
    ) -> Result<(), KernelError> {
        chunk.check(plan)?;
        let rows = rows(chunk);
        if rows == 0 {
            return Ok(());
        }
        let vocabulary = chunk.logits.length(2);
        if vocabulary > MOST_TOKENS {
            return Err(KernelError::Tensor {
                name: "logits",
                expected: format!("a vocabulary of at most {MOST_TOKENS} tokens on a GPU"),
                found: vocabulary.to_string(),
            });
        }
        let source = Source::new(kernel, plan, chunk.logits.dtype());
        self.0.launch(&source, rows, &task::task(plan, chunk, found, gradient)?)
    }
}

fn rows(chunk: &Chunk) -> i64 {
    chunk.logits.size()[0] * chunk.logits.size()[1]
}
