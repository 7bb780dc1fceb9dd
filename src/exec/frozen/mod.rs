//! A session at one moment: what a step computes with, whatever happens to the session meanwhile.

mod share;

use super::batch::Batch;
use super::counts::Counts;
use super::error::{Error, Result, caught};
use super::evaluate::{Evaluation, Values, frame};
use super::facts::Fact;
use super::output::Output;
use super::part::{Part, Reading};
use super::ranks::Vocabulary;
use super::setup::{Options, Setup};
use super::tally::{Count, Tally};
use super::value::Presets;
use crate::kernels::{KernelOptions, Shards};
use crate::plan::{FirstPass, Need, Plan};
use crate::plugin::ControllerState;
use crate::program::{Assertion, NodeId, Program};
use crate::types::Shape;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(super) use share::Shared;

/// What a step computes with: the program, and the controllers before it. It borrows nothing, so that a step in parts
/// can outlive every reference to its session.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    pub setup: Arc<Setup>,
    /// By controller.
    pub states: Vec<ControllerState>,
    /// How many steps were observed.
    pub steps: u64,
    /// The ranks that hold the vocabulary in shards, if this process has not all of it.
    pub vocabulary: Option<Vocabulary>,
}

impl Frozen {
    pub(super) fn program(&self) -> &Program {
        &self.setup.program
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.setup.plan
    }

    /// What has to be the same on all ranks of a step.
    pub(super) fn facts(&self) -> Vec<Fact> {
        let mut facts = self.setup.identity().to_vec();
        facts.push(("the number of observed steps".to_owned(), self.steps.to_string()));
        for (controller, state) in self.program().controllers.iter().zip(&self.states) {
            let memory =
                if state.memory.is_empty() { String::new() } else { format!(", {:?}", state.memory) };
            let text = format!("{:?} after {} observations{memory}", state.value, state.observations);
            facts.push((format!("the state of `{}`", controller.name), text));
        }
        facts
    }

    /// The scalars that a step gives, in the order of [`Output::scalars`].
    pub(super) fn scalars(&self) -> Vec<NodeId> {
        let program = self.program();
        let losses = program.losses.iter().map(|(_, id)| *id);
        let asserted = program.assertions.iter().flat_map(Assertion::nodes);
        let metrics = program.metrics.iter().map(|(_, id)| *id);
        let signals = program.controllers.iter().filter_map(|controller| controller.signal);
        let lets = program.lets.iter().map(|(_, id)| *id).filter(|_| self.setup.options.lets);
        let lets = lets.filter(|id| program.node(*id).ty.shape == Shape::Scalar);
        let all = std::iter::once(program.loss).chain(losses).chain(asserted).chain(metrics);
        all.chain(signals).chain(lets).collect()
    }

    /// Refuses a program that needs more of the whole step than a caller knows.
    pub(super) fn refuse_unmet(&self, counts: &Counts) -> Result<()> {
        let program = self.program();
        let unmet = program.requirements(self.plan()).into_iter().find(|of| !counts.meet(of));
        let Some(unmet) = unmet else { return Ok(()) };
        let give = match unmet.need {
            Need::Groups => {
                let field = unmet.field.as_deref().unwrap_or("group");
                format!("give `groups` by `{field}` if each is whole in one part, or `measure` the parts")
            }
            Need::Fields | Need::WholeStep => "`measure` the parts".to_owned(),
            counted => format!("give `{}`, or `measure` the parts", counted.as_str()),
        };
        let place = program.place_of(unmet.span).map(|place| format!(", {place}")).unwrap_or_default();
        let formula =
            program.source_of(unmet.span).map(|text| format!(" for `{text}`{place}")).unwrap_or_default();
        let what = unmet.need.in_words();
        Err(Error::Step(format!("this program needs {what}{formula}: {give}")))
    }

    pub(super) fn read(&self, batch: &Batch, depth: FirstPass) -> Result<Part> {
        self.together(depth, |reading| Part::read(self.plan(), batch, reading))
    }

    /// The same of a batch that brings its rows: the ranks that hold the vocabulary are not needed.
    pub(super) fn read_alone(&self, batch: &Batch, depth: FirstPass) -> Result<Part> {
        Part::read(self.plan(), batch, self.reading(depth, None))
    }

    /// Reads with the ranks that hold the vocabulary, if they do and rows may be read.
    pub(super) fn together<T>(
        &self,
        depth: FirstPass,
        run: impl FnOnce(Reading<'_>) -> Result<T>,
    ) -> Result<T> {
        match &self.vocabulary {
            Some(vocabulary) if depth == FirstPass::Model => {
                vocabulary.together(|shards| caught(|| run(self.reading(depth, Some(shards)))))
            }
            _ => run(self.reading(depth, None)),
        }
    }

    /// How the session's options say to read a batch.
    fn reading<'s>(&self, depth: FirstPass, shards: Option<&'s Shards<'s>>) -> Reading<'s> {
        let Options { kernels, overwrite_logits, chunk_bytes, validate, .. } = self.setup.options;
        let kernels = KernelOptions { kernels, overwrite_logits, chunk_bytes, validate };
        Reading { depth, kernels, validate, shards }
    }

    /// The nodes marked in `wanted` on a part of the step that `tally` counts.
    pub(super) fn evaluate(
        &self,
        part: &Part,
        tally: &Tally,
        presets: &Presets,
        wanted: &[bool],
        gradient: bool,
    ) -> Result<Values> {
        self.evaluate_by(self.plan(), part, tally, presets, wanted, gradient)
    }

    /// The same by another plan of the program.
    pub(super) fn evaluate_by(
        &self,
        plan: &Plan,
        part: &Part,
        tally: &Tally,
        presets: &Presets,
        wanted: &[bool],
        gradient: bool,
    ) -> Result<Values> {
        let coefficients: Vec<f64> = self.states.iter().map(|state| state.value).collect();
        let evaluation = Evaluation {
            program: self.program(),
            plan,
            part,
            frame: &frame(part, tally.counts(part)),
            coefficients: &coefficients,
            steps: self.steps,
            presets,
            groups: tally.groups(),
        };
        evaluation.run(wanted, gradient)
    }

    pub(super) fn output(&self, part: &Part, values: &Values, tokens: Count) -> Result<Output> {
        let program = self.program();
        let like = part.like();
        let scalar = |id: NodeId| values.tensor(id, like);
        let detached = |id: NodeId| scalar(id).detach();
        let losses = program.losses.iter().map(|(name, id)| Ok((name.clone(), scalar(*id).ok()?)));
        let asserted =
            program.assertions.iter().map(|of| (detached(of.condition), of.compared.map(detached)));
        let metrics = program.metrics.iter().map(|(name, id)| (name.clone(), detached(*id)));
        let signals = program
            .controllers
            .iter()
            .map(|controller| (controller.name.clone(), controller.signal.map(detached)));
        let lets = program.lets.iter().filter(|_| self.setup.options.lets);
        let lets = lets.map(|(name, id)| {
            let ty = program.node(*id).ty;
            let tensor = values.tensor(*id, part.like_of(ty.kind)).detach();
            (name.clone(), part.zeroed(ty.shape, &tensor))
        });
        Ok(Output {
            of: Arc::clone(&self.setup),
            loss: scalar(program.loss).ok()?,
            losses: losses.collect::<Result<_>>()?,
            assertions: asserted.collect(),
            metrics: metrics.collect(),
            signals: signals.collect(),
            lets: lets.collect(),
            tokens,
            unchecked: part.unchecked.clone(),
            observed: AtomicBool::new(false),
        })
    }
}
