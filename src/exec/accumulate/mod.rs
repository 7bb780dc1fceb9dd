//! A step in micro-batches, with the gradients, metrics and signals of one large batch.

mod begin;
mod given;
mod groups;
mod phase;
mod recognise;

use super::batch::Batch;
use super::error::{Error, Result, caught};
use super::facts::Fact;
use super::frozen::{Frozen, Shared};
use super::output::{Output, PartOutput};
use super::part::Part;
use super::ranks::{At, Place, ProcessGroup, Report, gathered, meet, refuse, rows_before};
use super::shards::SequenceShards;
use super::tally::{Count, Tally};
use super::value::Presets;
use crate::plan::{FirstPass, Plan};
use given::{Given, Seen};
use phase::{Phase, Sharing};
use recognise::recognise;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A step split along B into micro-batches of any size.
///
/// Measure every part first: this reads its mask, or more where the program needs it (see [`FirstPass`]). Then compute
/// each part's share of the loss, in any order: a part is recognised by its measured values, and an unmeasured part is
/// refused. The gradients of the shares add up to the gradient of the whole step's loss.
///
/// ```no_run
/// # fn run(session: &mut aent::Session, parts: &[aent::Batch]) -> aent::Result<()> {
/// let mut step = session.accumulate();
/// for part in parts {
///     step.measure(part)?;
/// }
/// for part in parts {
///     step.forward(part)?.backward()?;
/// }
/// let output = step.finish()?;
/// session.update(&output)
/// # }
/// ```
///
/// The parts may be spread over processes: see [`Accumulation::over`].
#[derive(Debug)]
pub struct Accumulation {
    frozen: Frozen,
    group: Option<Arc<dyn ProcessGroup>>,
    /// Counts of this rank until the first exchange, then of all ranks.
    tally: Tally,
    /// The caller's counts of the whole step, and this rank's counts so far.
    given: Option<Given>,
    /// This rank's parts, as they were measured.
    measured: Vec<Part>,
    phase: Phase,
    /// What each share is multiplied with.
    scale: f64,
    /// The ranks that hold other tokens of the same sequences.
    shards: Option<SequenceShards>,
}

impl Accumulation {
    pub(super) fn new(frozen: Frozen) -> Self {
        Self {
            frozen,
            group: None,
            tally: Tally::default(),
            given: None,
            measured: Vec::new(),
            phase: Phase::Measuring,
            scale: 1.0,
            shards: None,
        }
    }

    /// Measures a part; all parts must be measured before the first `forward`.
    pub fn measure(&mut self, batch: &Batch) -> Result<()> {
        let first_pass = self.frozen.plan().first_pass;
        let done = self.whole(batch, first_pass, true).and_then(|batch| caught(|| self.try_measure(&batch)));
        self.told(done)
    }

    /// Computes a part's share of the loss. The part must be measured, unless [`Self::with_counts`] was called.
    pub fn forward(&mut self, batch: &Batch) -> Result<PartOutput> {
        let batch = self.whole(batch, FirstPass::Model, self.given.is_none());
        let done = batch.and_then(|batch| caught(|| self.try_step(&batch)));
        self.told(done)
    }

    /// The share of this rank's only part, reading its logits once.
    pub(super) fn only(&mut self, batch: &Batch) -> Result<PartOutput> {
        let batch = self.whole(batch, FirstPass::Model, false);
        let done = batch.and_then(|batch| caught(|| self.try_only(&batch)));
        self.told(done)
    }

    /// Returns the whole step's loss, metrics and signals, for [`super::Session::update`]. With [`super::Options::lets`]
    /// also every `let`, for this rank's sequences in the order of measuring.
    pub fn finish(mut self) -> Result<Output> {
        let done = caught(|| self.try_finish());
        let done = self.told(done);
        match &self.shards {
            Some(shards) => shards.agreed(self.frozen.steps, done),
            None => done,
        }
    }

    /// Aborts the step for a reason outside of it, such as a batch that failed to load. At the next exchange the other
    /// ranks return [`Error::Rank`] with this message instead of waiting; this call returns once they have reached it.
    /// The step cannot continue. With one process the call is not needed.
    ///
    /// ```no_run
    /// # fn run(mut step: aent::Accumulation, load: impl Fn() -> Result<aent::Batch, String>) -> Result<(), Box<dyn std::error::Error>> {
    /// match load() {
    ///     Ok(part) => step.measure(&part)?,
    ///     Err(words) => {
    ///         step.fail(&words);
    ///         return Err(words.into());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail(&mut self, words: &str) {
        let goes_on = self.phase.goes_on().is_ok();
        if let Some(shards) = self.shards.as_ref().filter(|_| goes_on) {
            shards.refuse(self.frozen.steps, Error::Step(words.to_owned()));
        }
        let _ = self.told::<()>(Err(Error::Step(words.to_owned())));
        if let Some(vocabulary) = self.frozen.vocabulary.as_ref().filter(|_| goes_on) {
            vocabulary.fail(words);
        }
        self.phase = Phase::Failed;
    }

    /// The batch of whole sequences.
    fn whole<'a>(&self, batch: &'a Batch, depth: FirstPass, recognised: bool) -> Result<Cow<'a, Batch>> {
        match &self.shards {
            Some(shards) => Ok(Cow::Owned(shards.whole(&self.frozen, batch, depth, recognised)?)),
            None => Ok(Cow::Borrowed(batch)),
        }
    }

    /// Reads a batch. That of whole sequences has its rows already, which the ranks of a vocabulary need not make again.
    fn read(&self, batch: &Batch, depth: FirstPass) -> Result<Part> {
        match self.shards {
            Some(_) => self.frozen.read_alone(batch, depth),
            None => self.frozen.read(batch, depth),
        }
    }

    fn try_measure(&mut self, batch: &Batch) -> Result<()> {
        self.phase.goes_on()?;
        if !matches!(self.phase, Phase::Measuring) || self.given.is_some() {
            return Err(Error::Step("every part is measured before the first one is stepped".to_owned()));
        }
        let _untracked = batch.no_grad();
        let part = self.read(batch, self.frozen.plan().first_pass)?;
        self.count(&part);
        Ok(())
    }

    fn count(&mut self, part: &Part) {
        let part = part.detached();
        self.tally.add(&part);
        self.measured.push(part);
    }

    fn try_step(&mut self, batch: &Batch) -> Result<PartOutput> {
        self.phase.goes_on()?;
        let count = self.phase.recorded();
        if self.given.is_none() && count >= self.measured.len() {
            return Err(Error::Step(format!(
                "part {} was not measured: expected {} parts",
                count + 1,
                self.measured.len()
            )));
        }
        self.look_first()?;
        let part = self.read(batch, FirstPass::Model)?;
        let index = match &mut self.given {
            Some(given) => {
                given.see(&part, self.frozen.setup.options.validate)?;
                count
            }
            None => self.recognised(&part)?,
        };
        self.share(&part, index)
    }

    /// The index of a part among the measured ones.
    fn recognised(&self, part: &Part) -> Result<usize> {
        // If only counts were measured, comparing values is optional validation.
        let plan = self.frozen.plan();
        let exactly = plan.first_pass != FirstPass::Counts || self.frozen.setup.options.validate;
        recognise(plan, part, &self.measured, &self.phase.sharing()?.recorded, exactly)
    }

    fn try_only(&mut self, batch: &Batch) -> Result<PartOutput> {
        let part = self.read(batch, FirstPass::Model)?;
        self.count(&part);
        self.look_first()?;
        self.share(&part, 0)
    }

    fn share(&mut self, part: &Part, index: usize) -> Result<PartOutput> {
        let sharing = self.phase.sharing_mut()?;
        let offset = sharing.before + rows(self.measured.iter().take(index));
        let share = self.frozen.share(&sharing.shared, part, offset, &self.tally)?;
        sharing.recorded.insert(index, part.detached());
        match &self.shards {
            Some(shards) => share.each(|loss| shards.portion(loss))?.scaled(self.scale),
            None => share.scaled(self.scale),
        }
    }

    /// Computes what the parts need from the whole step, once.
    fn look_first(&mut self) -> Result<()> {
        if !matches!(self.phase, Phase::Measuring) {
            return Ok(());
        }
        let looks = self.frozen.plan().first_pass != FirstPass::Counts;
        let mut whole = if looks { Some(Part::join(self.frozen.plan(), &self.measured)) } else { None };
        let mut before = 0;
        if let Some(group) = self.group.clone() {
            let told = (self.report()?, self.facts()?, whole);
            let (ranks, own) = self.meet(&*group, told)?;
            before = rows_before(&ranks, &*group);
            if self.given.is_none() {
                let sum = |of: fn(&Report) -> i64| ranks.iter().map(of).sum();
                let width = ranks.iter().map(|rank| rank.width).max().unwrap_or(0);
                self.tally = Tally::known(sum(|rank| rank.tokens), sum(|rank| rank.sequences), width);
            }
            let plan = self.frozen.plan();
            let wanted = plan.mask(|of| of.looked_first);
            whole = own.map(|own| gathered(&own, &*group, &ranks, plan, &wanted)).transpose()?;
        }
        let mut shared = match whole {
            Some(whole) => self.frozen.shared(&whole, &self.tally)?,
            None => Shared::default(),
        };
        if let (Some(output), Some(_)) = (&mut shared.output, &self.group) {
            let own = Part::join(self.frozen.plan(), &self.measured);
            for (_, value) in &mut output.lets {
                *value = own.slice_of(value, before);
            }
        }
        self.phase = Phase::Sharing(Box::new(Sharing { shared, before, recorded: BTreeMap::new() }));
        Ok(())
    }

    fn try_finish(&mut self) -> Result<Output> {
        self.phase.goes_on()?;
        let (count, parts) = (self.phase.recorded(), self.measured.len());
        if count == 0 || (self.given.is_none() && count != parts) {
            return Err(Error::Step(format!(
                "the step is not whole: {count} of {parts} parts gave their share"
            )));
        }
        let group = self.group.clone();
        let facts = if group.is_some() { self.facts()? } else { Vec::new() };
        let sharing = self.phase.sharing_mut()?;
        let _untracked = sharing.recorded.values().next().and_then(|part| part.mask.tokens.no_grad());
        let output = match sharing.shared.output.take() {
            Some(output) => output,
            None => self.summary(&facts)?,
        };
        let mut seen = self.given.as_mut().map(Given::seen).transpose()?.unwrap_or_default();
        let Some(group) = group else {
            return self.compared(&seen, output);
        };
        let mut scalars = output.scalars()?;
        let reported = scalars.len();
        scalars.extend(seen.groups.iter().map(|groups| *groups as f64));
        let Seen { tokens, sequences, rows, .. } = seen;
        let report = Report { rows, tokens, sequences, scalars, ..Report::default() };
        let (ranks, mut output) = self.meet(&*group, (report, facts, output))?;
        let sum = |of: fn(&Report) -> i64| ranks.iter().map(of).sum();
        (seen.rows, seen.tokens, seen.sequences) =
            (sum(|rank| rank.rows), sum(|rank| rank.tokens), sum(|rank| rank.sequences));
        for (at, groups) in seen.groups.iter_mut().enumerate() {
            *groups = ranks.iter().map(|rank| rank.scalars[reported + at] as i64).sum();
        }
        output = self.compared(&seen, output)?;
        let plan = self.frozen.plan();
        let scalars = self.frozen.scalars().into_iter().enumerate().map(|(at, id)| {
            let told = ranks.iter().map(|rank| rank.scalars[at]);
            if plan.adds_up(id) { told.sum() } else { ranks[0].scalars[at] }
        });
        Ok(output.with_scalars(&scalars.collect::<Vec<f64>>()))
    }

    /// The output of a step whose parts brought what the caller counted.
    fn compared(&self, seen: &Seen, mut output: Output) -> Result<Output> {
        if let Some(given) = &self.given {
            given.compare(seen)?;
            output.tokens = Count::Known(given.tokens(seen));
        }
        Ok(output)
    }

    /// The output of this rank's parts: the whole step's, or this rank's summand of it.
    fn summary(&mut self, facts: &[Fact]) -> Result<Output> {
        let own = Part::join(self.frozen.plan(), self.phase.sharing()?.recorded.values());
        let presets = match self.group.clone() {
            Some(group) => self.look_last(&own, &*group, facts)?,
            None => Presets::new(),
        };
        let needed = self.frozen.plan().mask(|of| of.needed);
        let values = self.frozen.evaluate(&own, &self.tally, &presets, &needed, false)?;
        self.frozen.output(&own, &values, self.tally.tokens())
    }

    /// This rank's rows of every value that spans the step.
    fn look_last(&mut self, own: &Part, group: &dyn ProcessGroup, facts: &[Fact]) -> Result<Presets> {
        let Sharing { shared, before, .. } = self.phase.sharing_mut()?;
        let (known, mut before) = (std::mem::take(&mut shared.presets), *before);
        let nodes = self.frozen.plan().known_last();
        if nodes.is_empty() {
            return Ok(own.slices_of(&known, before));
        }
        let (rows, width) = own.size();
        let told = (Report { rows, width, ..Report::default() }, facts.to_vec(), ());
        let (ranks, ()) = self.meet(group, told)?;
        self.phase = Phase::Closing;
        before = rows_before(&ranks, group);
        let wanted = Plan::computed_for(self.frozen.program(), &nodes, |index| known.contains_key(&index));
        let whole = gathered(own, group, &ranks, self.frozen.plan(), &wanted)?;
        let mut presets = self.frozen.spanning(&whole, &self.tally, &nodes, &wanted, &known)?;
        presets.extend(known);
        Ok(own.slices_of(&presets, before))
    }

    fn report(&self) -> Result<Report> {
        let [tokens, sequences, width] = self.tally.numbers()?;
        Ok(Report { rows: rows(&self.measured), width, tokens, sequences, scalars: Vec::new() })
    }

    fn facts(&self) -> Result<Vec<Fact>> {
        let mut facts = self.frozen.facts();
        if let Some(given) = &self.given {
            facts.push(("what the caller counted".to_owned(), given.in_words()));
        }
        let recorded = self.phase.sharing().ok().and_then(|sharing| sharing.recorded.values().next());
        if let Some(part) = recorded.or(self.measured.first()) {
            facts.extend(part.facts(self.frozen.plan())?);
        }
        Ok(facts)
    }

    fn at(&self, place: Place) -> At {
        At { place, steps: self.frozen.steps }
    }

    /// Exchanges reports. Until the caller says how the step goes on, it has failed: the exchange tells all ranks what
    /// goes wrong in it.
    fn meet<T>(&mut self, group: &dyn ProcessGroup, own: (Report, Vec<Fact>, T)) -> Result<(Vec<Report>, T)> {
        let at = self.at(self.phase.place(self.frozen.plan()).ok_or_else(phase::over)?);
        self.phase = Phase::Failed;
        meet(group, at, Ok(own))
    }

    /// Reports an error to the other ranks, so that none of them waits for this one.
    fn told<T>(&mut self, done: Result<T>) -> Result<T> {
        let Some(group) = self.group.clone() else {
            // Ranks with the other shards know of it already.
            if done.is_err() && self.frozen.vocabulary.is_some() {
                self.phase = Phase::Failed;
            }
            return done;
        };
        match (done, self.phase.place(self.frozen.plan())) {
            (Err(error), Some(place)) => {
                self.phase = Phase::Failed;
                let error = group.failing(error);
                Err(refuse(&*group, self.at(place), error))
            }
            (done, _) => done,
        }
    }
}

/// How many rows parts have together.
fn rows<'a>(parts: impl IntoIterator<Item = &'a Part>) -> i64 {
    parts.into_iter().map(|part| part.size().0).sum()
}
