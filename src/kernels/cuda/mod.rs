//! Row statistics on NVIDIA GPUs: NVRTC compiles kernels at first use, for the plan and the device.

mod cache;
mod compile;
mod device;
mod nvrtc_library;
mod source;
mod task;

#[cfg(test)]
#[cfg(not(miri))]
mod emulation;
#[cfg(test)]
#[cfg(not(miri))]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::rows::TokenSet;
use crate::tensor::{DType, Host, Tensor};

use self::device::{Gpu, Reason};
use self::source::{Kernel, Source};
use super::KernelError;
use super::engine::{Asked, Chunk, Engine, Found, Numbers, WrongId};
use crate::passes::Plan;

/// The engine of the GPU with that index, or why there is none.
pub(super) fn engine(host: &'static dyn Host, ordinal: usize) -> Result<&'static dyn Engine, &'static str> {
    type Engines = HashMap<usize, Result<&'static Kernels<Gpu>, &'static str>>;
    static ENGINES: LazyLock<Mutex<Engines>> = LazyLock::new(Mutex::default);
    let known = || ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known().get(&ordinal).copied();
    // Hold no lock while the host is asked, which may take its own.
    let engine = found.unwrap_or_else(|| {
        let (made, lasting) = match Gpu::new(host, ordinal) {
            // Leaks one engine per GPU, which lives as long as the process.
            Ok(gpu) => (Ok(&*Box::leak(Box::new(Kernels(gpu)))), true),
            Err(Reason { text, lasting }) => {
                say(host, ordinal, "row statistics", &text);
                (Err(&*text.leak()), lasting)
            }
        };
        if lasting { *known().entry(ordinal).or_insert(made) } else { made }
    });
    engine.map(|engine| engine as &dyn Engine)
}

/// That engine, if it can compute this plan of such rows; what it cannot compute is said once.
pub(super) fn serving(
    host: &'static dyn Host,
    ordinal: usize,
    plan: &Plan,
    rows: Asked,
) -> Option<&'static dyn Engine> {
    let engine = engine(host, ordinal).ok()?;
    match engine.serves(plan, rows) {
        Ok(()) => Some(engine),
        Err(reason) => {
            say(host, ordinal, "some row statistics", &reason.to_string());
            None
        }
    }
}

/// Says once why something is computed in plain operations.
fn say(host: &dyn Host, ordinal: usize, what: &str, reason: &str) {
    static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let text =
        format!("{what} on cuda:{ordinal} are computed in plain operations of {}: {reason}", host.name());
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
        log::warn!("{text}");
    }
}

/// Runs kernels: a device, or the emulation for tests.
trait Launcher {
    /// Whether what is launched is recorded in a graph and does not run yet.
    fn is_captured(&self) -> bool {
        false
    }

    /// Makes the kernel ready to run, or says why it cannot.
    fn prepare(&self, source: &Source) -> Result<(), KernelError>;

    /// Runs the kernel on a task of `rows` rows; may return before it has finished.
    fn launch(&self, source: &Source, rows: i64, task: &[u64]) -> Result<(), KernelError>;
}

/// The most tokens of a row: whose masses are added exactly, whose members are counted exactly in f32, and whose places are
/// numbers of 32 bits.
const MOST_WEIGHED: i64 = (1 << 19) - 1;
const MOST_COUNTED: i64 = 1 << 24;
const MOST_TOKENS: i64 = (1 << 31) - 64;

/// The engine for any launcher.
struct Kernels<L>(L);

impl<L: Launcher + Sync> Engine for Kernels<L> {
    fn reads_in_place(&self) -> bool {
        true
    }

    fn wrong_id(&self) -> WrongId {
        WrongId::MakesNan
    }

    fn is_captured(&self) -> bool {
        self.0.is_captured()
    }

    fn serves(&self, plan: &Plan, rows: Asked) -> Result<(), KernelError> {
        let Asked { vocabulary, kind, gradient } = rows;
        check_vocabulary(plan, vocabulary)?;
        let kernels = [Some(Kernel::Read), gradient.then_some(Kernel::Gradient)];
        kernels.into_iter().flatten().try_for_each(|kernel| self.0.prepare(&Source::new(kernel, plan, kind)))
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
        check_vocabulary(plan, chunk.logits.length(2))?;
        let source = Source::new(kernel, plan, chunk.logits.dtype());
        self.0.launch(&source, rows, &task::task(plan, chunk, found, gradient)?)
    }
}

/// Refuses a vocabulary that is too large for what the plan asks for.
fn check_vocabulary(plan: &Plan, vocabulary: i64) -> Result<(), KernelError> {
    let most = plan.passes.iter().map(|pass| match pass.set {
        Some(TokenSet::TopP(_)) => (MOST_WEIGHED, " for a set by mass"),
        Some(_) => (MOST_COUNTED, " for a set"),
        None => (MOST_TOKENS, ""),
    });
    match most.min() {
        Some((most, what)) if vocabulary > most => Err(KernelError::Tensor {
            name: "logits",
            expected: format!("a vocabulary of at most {most} tokens{what} in kernels for GPUs"),
            found: vocabulary.to_string(),
        }),
        _ => Ok(()),
    }
}

fn rows(chunk: &Chunk) -> i64 {
    chunk.logits.size()[0] * chunk.logits.size()[1]
}
