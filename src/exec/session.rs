//! A program in use: its coefficients, its step count, and the way from a batch to a loss.

use super::accumulate::Accumulation;
use super::batch::Batch;
use super::error::Result;
use super::evaluate::{Evaluation, Values, frame};
use super::output::Output;
use super::part::{Depth, Part, Reading};
use super::value::zero_unless;
use super::whole::Tally;
use crate::kernels::{CHUNK_BYTES, KernelOptions, Kernels};
use crate::plan::Plan;
use crate::plugin::{ControllerState, Frame};
use crate::program::{NodeId, Program};
use crate::types::Shape;
use std::collections::{BTreeMap, HashMap};
use tch::{Kind, Tensor};

/// How a session computes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which implementation computes row statistics.
    pub kernels: Kernels,
    /// Whether the batch gives its logits up, so that their gradient may be written over them; see
    /// [`KernelOptions::overwrite_logits`].
    pub overwrite_logits: bool,
    /// How many bytes of logits are made at once where the batch brings hidden states; see
    /// [`KernelOptions::chunk_bytes`].
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

/// A program with the state of its controllers.
#[derive(Debug)]
pub struct Session {
    pub(super) program: Program,
    pub(super) plan: Plan,
    pub(super) options: Options,
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
        let plan = Plan::new(&program, options.lets);
        let states = program.controllers.iter().map(|controller| controller.object.value.start()).collect();
        Self { program, plan, options, states, steps: 0 }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its schedule.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many steps were observed.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The coefficients in force, by controller.
    pub fn coefficients(&self) -> BTreeMap<String, f64> {
        let names = self.program.controllers.iter().map(|controller| controller.name.clone());
        names.zip(self.states.iter().map(|state| state.value)).collect()
    }

    /// The loss of a whole step on one batch, with metrics and signals.
    pub fn step(&self, batch: &Batch) -> Result<Output> {
        let part = self.read(batch, Depth::Model)?;
        let mut tally = Tally::default();
        tally.add(&part)?;
        let frame = frame(&part, tally.counts(&part)?)?;
        let values = self.evaluate(&part, &frame, &HashMap::new(), &self.plan.needed, true)?;
        self.output(&part, &values, tally.tokens())
    }

    /// Begins a step that comes in parts; see [`Accumulation`].
    pub fn accumulate(&self) -> Accumulation<'_> {
        Accumulation::new(self)
    }

    /// Moves the controllers by what a step observed; call it after the optimizer's step. A step without a
    /// valid token observed nothing and moves nothing.
    pub fn observe(&mut self, output: &Output) -> Result<()> {
        self.steps += 1;
        if output.tokens()? == 0 {
            return Ok(());
        }
        let signals = output.signals()?;
        for (controller, state) in self.program.controllers.iter().zip(&mut self.states) {
            let signal = signals.get(&controller.name).copied();
            // A signal that is no number says nothing about where to move.
            if signal.is_none_or(f64::is_finite) {
                *state = controller.object.value.observe(state, signal);
            }
        }
        Ok(())
    }

    pub(super) fn read(&self, batch: &Batch, depth: Depth) -> Result<Part> {
        let Options { kernels, overwrite_logits, chunk_bytes, validate, .. } = self.options;
        let kernels = KernelOptions { kernels, overwrite_logits, chunk_bytes };
        let reading = Reading { depth, kernels, validate };
        Part::read(&self.program, &self.plan, batch, reading)
    }

    pub(super) fn evaluate(
        &self,
        part: &Part,
        frame: &Frame,
        presets: &HashMap<usize, Tensor>,
        wanted: &[bool],
        gradient: bool,
    ) -> Result<Values> {
        let coefficients: Vec<f64> = self.states.iter().map(|state| state.value).collect();
        let evaluation = Evaluation {
            program: &self.program,
            plan: &self.plan,
            part,
            frame,
            coefficients: &coefficients,
            presets,
        };
        evaluation.run(wanted, gradient)
    }

    pub(super) fn output(&self, part: &Part, values: &Values, tokens: Tensor) -> Result<Output> {
        let like = (part.kind, part.device());
        let scalar = |id: NodeId| values.tensor(id, like);
        let detached = |id: NodeId| Ok::<_, super::Error>(scalar(id)?.f_detach()?);
        let metrics = self.program.metrics.iter().map(|(name, id)| Ok((name.clone(), detached(*id)?)));
        let signals =
            self.program.controllers.iter().map(|controller| {
                Ok((controller.name.clone(), controller.signal.map(detached).transpose()?))
            });
        let lets = self.program.lets.iter().filter(|_| self.options.lets);
        let lets = lets.map(|(name, id)| {
            let kind =
                if self.program.node(*id).ty.kind == crate::types::Kind::Bool { Kind::Bool } else { like.0 };
            let tensor = values.tensor(*id, (kind, like.1))?.f_detach()?;
            let counted = match self.program.node(*id).ty.shape {
                Shape::Token => &part.mask,
                Shape::Seq => &part.valid,
                Shape::Scalar => return Ok((name.clone(), tensor)),
            };
            Ok((name.clone(), zero_unless(counted, &tensor)?))
        });
        Ok(Output {
            loss: scalar(self.program.loss)?,
            metrics: metrics.collect::<Result<_>>()?,
            signals: signals.collect::<Result<_>>()?,
            lets: lets.collect::<Result<_>>()?,
            tokens,
        })
    }
}
