//! What never changes in a step: its program, the program's plan, and its options.

use super::error::{Error, Result};
use super::facts::Fact;
use crate::kernels::Kernels;
use crate::passes::CHUNK_BYTES;
use crate::plan::Plan;
use crate::plugin::ControllerState;
use crate::program::Program;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

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

/// What never changes in a step, and in a session only by arguments that move.
#[derive(Debug)]
pub(super) struct Setup {
    pub program: Program,
    pub plan: Plan,
    pub options: Options,
    identity: OnceLock<Vec<Fact>>,
    /// The setup of the session's first step, if this one is of a later step in which arguments have moved.
    first: Option<Arc<Setup>>,
}

impl Setup {
    pub(super) fn new(program: Program, options: Options) -> Self {
        let plan = Plan::new(&program, options.lets);
        Self { program, plan, options, identity: OnceLock::new(), first: None }
    }

    /// The setup of a step in which the controllers have these states, after `steps` others.
    pub(super) fn at(self: &Arc<Self>, states: &[ControllerState], steps: u64) -> Result<Arc<Self>> {
        if !self.program.moves() {
            return Ok(Arc::clone(self));
        }
        let coefficients: Vec<f64> = states.iter().map(|state| state.value).collect();
        let program = self.program.at(&coefficients, steps as f64).map_err(|refused| {
            Error::Step(format!("an argument has moved to where it is refused: {refused}"))
        })?;
        let first = Some(Arc::clone(self.first.as_ref().unwrap_or(self)));
        Ok(Arc::new(Self { first, ..Self::new(program, self.options) }))
    }

    /// The setup of a step whose parts have whole groups, by these fields.
    pub(super) fn with_groups(self: &Arc<Self>, groups: &BTreeSet<String>) -> Arc<Self> {
        if groups.is_empty() {
            return Arc::clone(self);
        }
        let first = Some(Arc::clone(self.first.as_ref().unwrap_or(self)));
        let (program, options) = (self.program.clone(), self.options);
        let plan = Plan::with_groups(&program, options.lets, groups);
        Arc::new(Self { program, plan, options, identity: OnceLock::new(), first })
    }

    /// Whether two setups are of one session.
    pub(super) fn is_of_one(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let first = |of: &Arc<Self>| Arc::as_ptr(of.first.as_ref().unwrap_or(of));
        first(self) == first(other)
    }

    /// What makes a step of this session the one it is: the whole program, and what is reported.
    pub(super) fn identity(&self) -> &[Fact] {
        if let Some(first) = &self.first {
            return first.identity();
        }
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
