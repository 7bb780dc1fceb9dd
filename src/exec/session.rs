//! A program in use: its coefficients, its step count, and the way from a batch to a loss.

use super::accumulate::Accumulation;
use super::batch::Batch;
use super::error::{Error, Result, caught};
use super::evaluate::frame;
use super::fit::check_state;
use super::frozen::{Frozen, Setup};
use super::group::ProcessGroup;
use super::output::{Output, PartOutput};
use super::part::Depth;
use super::whole::Tally;
use crate::kernels::{CHUNK_BYTES, Kernels};
use crate::plan::Plan;
use crate::plugin::ControllerState;
use crate::program::Program;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How a session computes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which implementation computes row statistics.
    pub kernels: Kernels,
    /// Whether the batch gives its logits up, so that their gradient may be written over them; see
    /// [`crate::kernels::KernelOptions::overwrite_logits`].
    pub overwrite_logits: bool,
    /// How many bytes of logits are made at once where the batch brings hidden states; see
    /// [`crate::kernels::KernelOptions::chunk_bytes`].
    pub chunk_bytes: usize,
    /// Whether values are checked too, besides names, shapes, kinds and devices: action ids in range, numbers
    /// finite where they count. On a GPU this waits for the device.
    pub validate: bool,
    /// Whether every `let` is computed and given out.
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

/// A program with the state of its controllers. A copy shares the program and goes on by itself.
#[derive(Clone, Debug)]
pub struct Session {
    setup: Arc<Setup>,
    pub(super) states: Vec<ControllerState>,
    pub(super) steps: u64,
}

impl Session {
    /// A session at step zero.
    pub fn new(program: Program) -> Self {
        Self::with(program, Options::default())
    }

    /// A session at step zero that computes in a certain way.
    pub fn with(program: Program, options: Options) -> Self {
        let states = program.controllers.iter().map(|controller| controller.object.value.start()).collect();
        Self { setup: Arc::new(Setup::new(program, options)), states, steps: 0 }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.setup.program
    }

    /// Its schedule.
    pub fn plan(&self) -> &Plan {
        &self.setup.plan
    }

    /// How many steps were observed.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The coefficients in force, by controller.
    pub fn coefficients(&self) -> BTreeMap<String, f64> {
        let names = self.program().controllers.iter().map(|controller| controller.name.clone());
        names.zip(self.states.iter().map(|state| state.value)).collect()
    }

    /// The loss of a whole step on one batch, with metrics and signals.
    pub fn forward(&self, batch: &Batch) -> Result<Output> {
        caught(|| self.try_step(batch))
    }

    fn try_step(&self, batch: &Batch) -> Result<Output> {
        let frozen = self.frozen();
        let part = frozen.read(batch, Depth::Model)?;
        let mut tally = Tally::default();
        tally.add(&part);
        let frame = frame(&part, tally.counts(&part));
        let values =
            frozen.evaluate(&part, &frame, &HashMap::new(), &frozen.plan().mask(|of| of.needed), true)?;
        frozen.output(&part, &values, tally.tokens())
    }

    /// Begins a step that comes in parts, with the coefficients in force now; see [`Accumulation`].
    pub fn accumulate(&self) -> Accumulation {
        Accumulation::new(self.frozen())
    }

    /// This rank's share of a step over many processes, on one batch of each, and what the whole step gives, for
    /// [`Session::update`]. The logits are read once. Every rank has to call it; see [`ProcessGroup`].
    ///
    /// ```no_run
    /// # fn run(session: &mut aent::Session, batch: &aent::Batch, group: std::sync::Arc<dyn aent::ProcessGroup>) -> aent::Result<()> {
    /// let (share, output) = session.forward_over(batch, group)?;
    /// share.backward()?; // then add up the gradients of all ranks; an engine that averages them wants `size` times as much
    /// session.update(&output)
    /// # }
    /// ```
    pub fn forward_over(&self, batch: &Batch, group: Arc<dyn ProcessGroup>) -> Result<(PartOutput, Output)> {
        let mut step = self.accumulate().over(group)?;
        let share = step.only(batch)?;
        Ok((share, step.finish()?))
    }

    /// Moves the controllers by what a step of this session observed; call it after the optimizer's step. A step without
    /// a valid token observed nothing and moves nothing. The output of another session is refused, and so is one that was
    /// observed before.
    pub fn update(&mut self, output: &Output) -> Result<()> {
        if !Arc::ptr_eq(&self.setup, &output.of) {
            return Err(Error::Step(
                "expected the output of a step of this session, found that of another".to_owned(),
            ));
        }
        if output.observed.load(Ordering::Acquire) {
            return Err(Error::Step(
                "this output was observed before: expected each step's output once, after the optimizer's step"
                    .to_owned(),
            ));
        }
        if output.tokens()? > 0 {
            let signals = output.signals()?;
            let moved = self.setup.program.controllers.iter().zip(&self.states).map(|(controller, state)| {
                let signal = signals.get(&controller.name).copied();
                // A signal that is no number says nothing about where to move.
                if signal.is_some_and(|signal| !signal.is_finite()) {
                    return Ok(state.clone());
                }
                let rule = controller.object.value.as_ref();
                let moved = rule.observe(state, signal);
                // What could not be restored is not let in.
                check_state(rule, &moved).map_err(|wrong| Error::Object {
                    name: controller.object.name().to_owned(),
                    owner: controller.object.owner().to_owned(),
                    message: format!("what `{}` remembers after this step: {wrong}", controller.name),
                })?;
                Ok(moved)
            });
            self.states = moved.collect::<Result<_>>()?;
        }
        self.steps += 1;
        output.observed.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn frozen(&self) -> Frozen {
        Frozen { setup: Arc::clone(&self.setup), states: self.states.clone(), steps: self.steps }
    }
}
