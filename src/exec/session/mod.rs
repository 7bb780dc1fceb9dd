//! A program with its coefficients and step count, which computes losses from batches.

mod diagnose;
mod nonfinite;
mod restore;
mod summands;
mod written;

use super::accumulate::Accumulation;
use super::batch::Batch;
use super::error::{Error, Result, caught};
use super::frozen::Frozen;
use super::output::{Output, PartOutput};
use super::part::{Reading, row_tensor};
use super::ranks::{ProcessGroup, Vocabulary};
use super::saved::check_state;
use super::setup::{Options, Setup};
use super::shards::SequenceShards;
use super::tally::Tally;
use super::value::Presets;
use crate::plan::{FirstPass, Plan};
use crate::plugin::ControllerState;
use crate::program::Program;
use crate::rows::{RowStatistic, Statistic, TokenSet};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use diagnose::{Bound, Diagnosis, Summand};
pub use nonfinite::NonFinite;

/// A program with the state of its controllers. Clones share the program, but not the state.
#[derive(Clone, Debug)]
pub struct Session {
    setup: Arc<Setup>,
    states: Vec<ControllerState>,
    steps: u64,
    vocabulary: Option<Vocabulary>,
}

impl Session {
    /// A session at step zero.
    pub fn new(program: Program) -> Self {
        Self::with(program, Options::default())
    }

    /// A session at step zero, with options.
    pub fn with(program: Program, options: Options) -> Self {
        let states = program.controllers.iter().map(|controller| controller.object.value.start());
        let states: Vec<ControllerState> = states.collect();
        let setup = Arc::new(Setup::new(program, options));
        // The checker has made every object at the ends of what its arguments can be.
        let setup = setup.at(&states, 0).unwrap_or(setup);
        Self { setup, states, steps: 0, vocabulary: None }
    }

    /// This session where each rank of a group holds a shard of the vocabulary: the logits `[B, T, V_r]` of its own tokens, or
    /// its rows `[V_r, D]` of the output layer, lower ranks those of lower ids. All else of a batch is the same on all of them,
    /// ids are those of the whole vocabulary, and losses and numbers are those of one process with all of it, on every rank.
    ///
    /// Every rank calls what it calls on this session. Ranks exchange sums of rows while they read a batch, and nothing in
    /// the backward pass: of `hidden`, each has a share of the gradient, which adds up to the whole. The session that moves
    /// by an output is the one that this was made of.
    ///
    /// ```no_run
    /// # fn run(session: &mut aent::Session, batch: &aent::Batch, group: std::sync::Arc<dyn aent::ProcessGroup>) -> aent::Result<()> {
    /// let output = session.in_shards(group).forward(batch)?;
    /// output.backward()?;
    /// session.update(&output)
    /// # }
    /// ```
    #[must_use]
    pub fn in_shards(&self, group: Arc<dyn ProcessGroup>) -> Self {
        Self { vocabulary: Some(Vocabulary(group)), ..self.clone() }
    }

    /// Whether it is one of [`Session::in_shards`].
    pub fn is_in_shards(&self) -> bool {
        self.vocabulary.is_some()
    }

    /// Tells the ranks that hold the other shards of an error outside of a step, such as a batch that failed to load. They
    /// return it where they read a batch next, and this call returns once they have come there.
    pub fn fail_shards(&self, words: &str) {
        if let Some(vocabulary) = &self.vocabulary {
            vocabulary.fail(words);
        }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.setup.program
    }

    /// The program's schedule.
    pub fn plan(&self) -> &Plan {
        &self.setup.plan
    }

    /// The number of steps observed.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The current coefficients, by controller.
    pub fn coefficients(&self) -> BTreeMap<String, f64> {
        let names = self.program().controllers.iter().map(|controller| controller.name.clone());
        names.zip(self.states.iter().map(|state| state.value)).collect()
    }

    /// The loss of a whole step on one batch, with metrics and signals.
    pub fn forward(&self, batch: &Batch) -> Result<Output> {
        caught(|| self.try_step(batch))
    }

    /// What each number of [`Session::rows`] is, in their order.
    pub fn row_names(&self) -> Vec<String> {
        let plan = self.plan();
        let log_prob = plan.log_prob.iter().map(|_| "log_prob".to_owned());
        log_prob.chain(plan.rows.iter().map(ToString::to_string)).collect()
    }

    /// What the program reads of the logits, computed where they are: `[..., R]` with gradient, of logits `[..., V]` or hidden
    /// states `[..., D]` of any leading shape, such as `[B, T]` or the `[N]` of a packed batch. R is the number of
    /// [`Session::row_names`]. What the program does not read is not computed.
    ///
    /// The batch has what else the statistics need, of the same leading shape: `actions`, `ref_logits`. With a `response_mask`
    /// only its rows are computed, the others are zero. The result may be gathered, cut, padded or sent; a step takes it as the
    /// field `rows` in place of logits, and gives the same numbers.
    ///
    /// ```no_run
    /// # fn run(session: &aent::Session, logits: aent::tensor::Tensor, actions: aent::tensor::Tensor, batch: aent::Batch) -> aent::Result<aent::Output> {
    /// let rows = session.rows(&aent::Batch::new().with("logits", logits).with("actions", actions))?;
    /// session.forward(&batch.with("rows", rows))
    /// # }
    /// ```
    pub fn rows(&self, batch: &Batch) -> Result<Tensor> {
        self.rows_with(batch, &[])
    }

    /// The same with further statistics of all tokens behind those of the program, `[..., R + more.len()]`, at the program's
    /// temperature: what a trainer logs beside the loss comes out of the same reading. A step takes the first R.
    pub fn rows_with(&self, batch: &Batch, more: &[Statistic]) -> Result<Tensor> {
        let program = self.program();
        let (temperature, divisor) = (program.temperature, program.temperature_of.field());
        let of = |statistic: &Statistic| RowStatistic {
            divisor,
            ..RowStatistic::new(TokenSet::All, temperature, *statistic)
        };
        let more: Vec<RowStatistic> = more.iter().map(of).collect();
        let read = |reading: Reading<'_>| row_tensor(self.plan(), batch, reading, &more);
        caught(|| self.frozen().together(FirstPass::Model, read))
    }

    fn try_step(&self, batch: &Batch) -> Result<Output> {
        let frozen = self.frozen();
        let part = frozen.read(batch, FirstPass::Model)?;
        let tally = Tally::of(&part);
        let values =
            frozen.evaluate(&part, &tally, &Presets::new(), &frozen.plan().mask(|of| of.needed), true)?;
        frozen.output(&part, &values, tally.tokens())
    }

    /// Begins a step in parts, with the current coefficients; see [`Accumulation`].
    pub fn accumulate(&self) -> Accumulation {
        Accumulation::new(self.frozen())
    }

    /// Computes a step over several ranks with one batch each: this rank's share of the loss, and the whole step's output
    /// for [`Session::update`]. The logits are read once. Every rank must call it; see [`ProcessGroup`].
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

    /// Computes a step of which every rank of `shards` has its own tokens, and the ranks of `group` other sequences: this
    /// rank's share of the loss, and the whole step's output. See [`SequenceShards`].
    pub fn forward_shards(
        &self,
        batch: &Batch,
        shards: SequenceShards,
        group: Option<Arc<dyn ProcessGroup>>,
    ) -> Result<(PartOutput, Output)> {
        let mut step = self.accumulate().sharded(shards)?;
        if let Some(group) = group {
            step = step.over(group)?;
        }
        let share = step.only(batch)?;
        Ok((share, step.finish()?))
    }

    /// Moves the controllers by the signals of a step; call it after the optimizer's step. A step without a valid token
    /// moves nothing. Outputs of another session, and outputs that were used before, are refused.
    pub fn update(&mut self, output: &Output) -> Result<()> {
        if !self.setup.is_of_one(&output.of) {
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
        if output.has_unchecked_ids() {
            output.total()?;
        }
        let mut states = self.states.clone();
        if output.tokens()? > 0 {
            let signals = output.signals()?;
            let moved = self.setup.program.controllers.iter().zip(&self.states).map(|(controller, state)| {
                let signal = signals.get(&controller.name).copied();
                // A non-finite signal moves nothing.
                if signal.is_some_and(|signal| !signal.is_finite()) {
                    return Ok(state.clone());
                }
                let rule = controller.object.value.as_ref();
                let moved = rule.observe(state, signal);
                // Refuse now what `restore` would refuse later.
                check_state(controller, rule, &moved).map_err(|wrong| Error::Object {
                    name: controller.object.name().to_owned(),
                    owner: controller.object.owner().to_owned(),
                    message: format!("what `{}` remembers after this step: {wrong}", controller.name),
                })?;
                Ok(moved)
            });
            states = moved.collect::<Result<_>>()?;
        }
        self.setup = self.setup.at(&states, self.steps + 1)?;
        (self.states, self.steps) = (states, self.steps + 1);
        output.observed.store(true, Ordering::Release);
        Ok(())
    }

    fn frozen(&self) -> Frozen {
        Frozen {
            setup: Arc::clone(&self.setup),
            states: self.states.clone(),
            steps: self.steps,
            vocabulary: self.vocabulary.clone(),
        }
    }
}
