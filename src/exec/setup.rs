//! What never changes in a session: its program, the program's plan, and its options.

use super::facts::Fact;
use crate::kernels::{CHUNK_BYTES, Kernels};
use crate::plan::Plan;
use crate::program::Program;
use std::sync::OnceLock;

/// Options of a session.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which implementation computes row statistics.
    pub kernels: Kernels,
    /// Whether the gradient of the logits may overwrite them; see [`crate::kernels::KernelOptions::overwrite_logits`].
    pub overwrite_logits: bool,
    /// How many bytes of logits to compute at once from hidden states; see [`crate::kernels::KernelOptions::chunk_bytes`].
    pub chunk_bytes: usize,
    /// Whether to check values too, besides names, shapes, kinds and devices: action ids in range, unmasked numbers
    /// finite. On a GPU this waits for the device; without it, an action id outside the vocabulary is named when a number of
    /// the step is read.
    pub validate: bool,
    /// Whether to compute and return every `let`.
    pub lets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kernels: Kernels::Auto,
            overwrite_logits: false,
            chunk_bytes: CHUNK_BYTES,
            validate: true,
            lets: false,
        }
    }
}

/// What never changes in a session.
#[derive(Debug)]
pub(super) struct Setup {
    pub program: Program,
    pub plan: Plan,
    pub options: Options,
    identity: OnceLock<Vec<Fact>>,
}

impl Setup {
    pub(super) fn new(program: Program, options: Options) -> Self {
        let plan = Plan::new(&program, options.lets);
        Self { program, plan, options, identity: OnceLock::new() }
    }

    /// What makes a step of this session the one it is: the whole program, and what is reported.
    pub(super) fn identity(&self) -> &[Fact] {
        self.identity.get_or_init(|| {
            let mut facts = self.program.identity();
            let metrics = self.program.metrics.iter();
            facts.extend(metrics.map(|(name, id)| (format!("`metric {name}`"), id.to_string())));
            if self.options.lets {
                let lets = self.program.lets.iter();
                facts.extend(lets.map(|(name, id)| (format!("`let {name}`"), id.to_string())));
            }
            facts
        })
    }
}
