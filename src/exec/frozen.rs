//! A session at one moment: what a step computes with, whatever happens to the session meanwhile.

use super::Options;
use super::batch::Batch;
use super::error::Result;
use super::evaluate::{Evaluation, Values};
use super::output::Output;
use super::part::{Depth, Part, Reading};
use super::value::zero_unless;
use crate::kernels::KernelOptions;
use crate::plan::Plan;
use crate::plugin::Frame;
use crate::program::{NodeId, Program};
use crate::types::Shape;
use std::collections::HashMap;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// What never changes in a session.
#[derive(Debug)]
pub(super) struct Setup {
    pub program: Program,
    pub plan: Plan,
    pub options: Options,
}

/// The coefficients of one step with the program that they belong to. It borrows nothing, so that a step in
/// parts can outlive every reference to its session.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    pub setup: Arc<Setup>,
    /// By controller.
    pub coefficients: Vec<f64>,
}

impl Frozen {
    pub(super) fn program(&self) -> &Program {
        &self.setup.program
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.setup.plan
    }

    pub(super) fn read(&self, batch: &Batch, depth: Depth) -> Result<Part> {
        let Options { kernels, overwrite_logits, chunk_bytes, validate, .. } = self.setup.options;
        let kernels = KernelOptions { kernels, overwrite_logits, chunk_bytes };
        let reading = Reading { depth, kernels, validate };
        Part::read(self.program(), self.plan(), batch, reading)
    }

    pub(super) fn evaluate(
        &self,
        part: &Part,
        frame: &Frame,
        presets: &HashMap<usize, Tensor>,
        wanted: &[bool],
        gradient: bool,
    ) -> Result<Values> {
        let evaluation = Evaluation {
            program: self.program(),
            plan: self.plan(),
            part,
            frame,
            coefficients: &self.coefficients,
            presets,
        };
        evaluation.run(wanted, gradient)
    }

    pub(super) fn output(&self, part: &Part, values: &Values, tokens: Tensor) -> Result<Output> {
        let program = self.program();
        let like = (part.kind, part.device());
        let scalar = |id: NodeId| values.tensor(id, like);
        let detached = |id: NodeId| Ok::<_, super::Error>(scalar(id)?.f_detach()?);
        let metrics = program.metrics.iter().map(|(name, id)| Ok((name.clone(), detached(*id)?)));
        let signals = program
            .controllers
            .iter()
            .map(|controller| Ok((controller.name.clone(), controller.signal.map(detached).transpose()?)));
        let lets = program.lets.iter().filter(|_| self.setup.options.lets);
        let lets = lets.map(|(name, id)| {
            let kind =
                if program.node(*id).ty.kind == crate::types::Kind::Bool { Kind::Bool } else { like.0 };
            let tensor = values.tensor(*id, (kind, like.1))?.f_detach()?;
            let counted = match program.node(*id).ty.shape {
                Shape::Token => &part.mask,
                Shape::Seq => &part.valid,
                Shape::Scalar => return Ok((name.clone(), tensor)),
            };
            Ok((name.clone(), zero_unless(counted, &tensor)?))
        });
        Ok(Output {
            loss: scalar(program.loss)?,
            metrics: metrics.collect::<Result<_>>()?,
            signals: signals.collect::<Result<_>>()?,
            lets: lets.collect::<Result<_>>()?,
            tokens,
        })
    }
}
