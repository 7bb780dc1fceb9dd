//! A step in parts, with the gradients, metrics and signals of the whole.

use super::batch::Batch;
use super::differences::Fact;
use super::error::{Error, Result, caught};
use super::evaluate::frame;
use super::frozen::Frozen;
use super::given::{Given, Seen};
use super::group::ProcessGroup;
use super::meeting::{At, Place, Report, meet, refuse, rows_before};
use super::output::{Output, PartOutput};
use super::part::{Depth, Part};
use super::recognise::recognise;
use super::share::{Presets, Shared};
use super::whole::Tally;
use crate::plan::{FirstPass, Plan};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A step that comes in micro-batches, cut along B in any way.
///
/// First every part is measured, which costs a look at its mask, unless the program needs more of the whole
/// step (see [`FirstPass`]). Then every part gives its share of the loss, in any order: a part is recognised by what was
/// measured of it, and one that was not measured is refused. The gradients of the shares add up to the gradient of the
/// whole step's loss.
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
    /// Of this process first; of all, as soon as they have met.
    tally: Tally,
    measured: Vec<Part>,
    /// The row of this process at which each part begins, and where the next would.
    offsets: Vec<i64>,
    /// How many rows lower ranks have.
    before: i64,
    shared: Option<Shared>,
    /// What the parts brought, without gradient, for the metrics of the whole: by their number among the measured parts.
    recorded: BTreeMap<usize, Part>,
    /// The counts of the whole step that the caller gave, and what this process saw of it.
    given: Option<Given>,
    /// Where the ranks meet next; none when they meet no more.
    next: Option<Place>,
}

impl Accumulation {
    pub(super) fn new(frozen: Frozen) -> Self {
        Self {
            frozen,
            group: None,
            tally: Tally::default(),
            measured: Vec::new(),
            offsets: vec![0],
            before: 0,
            shared: None,
            recorded: BTreeMap::new(),
            given: None,
            next: Some(Place::Start),
        }
    }

    /// Makes it a step of many processes, of which this one is a rank: denominators, metrics and signals are those
    /// of all parts of all ranks, and the shares of all add up. Every rank says it before its first part.
    ///
    /// An error on one rank fails the step on all of them; what had been given by then is no gradient of anything.
    /// Where every rank has one part, [`super::Session::forward_over`] reads it once instead of twice.
    ///
    /// ```no_run
    /// # fn run(session: &aent::Session, parts: &[aent::Batch], group: std::sync::Arc<dyn aent::ProcessGroup>) -> aent::Result<()> {
    /// let mut step = session.accumulate().over(group)?;
    /// for part in parts {
    ///     step.measure(part)?;
    /// }
    /// for part in parts {
    ///     step.forward(part)?.backward()?; // gradients add up over parts and ranks
    /// }
    /// println!("{:?}", step.finish()?.metrics()?); // the same on every rank
    /// # Ok(())
    /// # }
    /// ```
    pub fn over(mut self, group: Arc<dyn ProcessGroup>) -> Result<Self> {
        if self.group.is_some() || self.shared.is_some() || !self.measured.is_empty() {
            return Err(Error::Step("a step is made one of many processes before its first part".to_owned()));
        }
        self.group = Some(group);
        Ok(self)
    }

    /// Takes the counts of the whole step, over all ranks, from the caller, so that nothing has to be measured:
    /// valid tokens, sequences with at least one, and the padded length. Refused for programs that need more.
    ///
    /// # Errors
    /// A negative count, at once; a step whose parts bring more than the counts, with the part that exceeds them; at the
    /// end, one whose parts bring less. Sequences without a valid token may be counted or not.
    pub fn with_counts(mut self, tokens: i64, sequences: i64, width: i64) -> Result<Self> {
        let first_pass = self.frozen.plan().first_pass;
        if first_pass != FirstPass::Counts {
            return Err(Error::Step(format!(
                "this program needs more of the whole step than its counts ({first_pass:?}): `measure` its parts"
            )));
        }
        self.given = Some(Given::new(tokens, sequences, width)?);
        self.tally = Tally::known(tokens, sequences, width);
        Ok(self)
    }

    /// Looks at a part before any part gives its share.
    pub fn measure(&mut self, batch: &Batch) -> Result<()> {
        let done = caught(|| self.try_measure(batch));
        self.told(done)
    }

    /// A part's share of the loss. The part is one of those that were measured.
    pub fn forward(&mut self, batch: &Batch) -> Result<PartOutput> {
        let done = caught(|| self.try_step(batch));
        self.told(done)
    }

    /// The share of a part that is the only one of this process, with one reading of its logits.
    pub(super) fn only(&mut self, batch: &Batch) -> Result<PartOutput> {
        let done = caught(|| self.try_only(batch));
        self.told(done)
    }

    /// The whole step's loss, metrics and signals, for [`super::Session::update`]; with
    /// [`super::Options::lets`] also every `let` for this process's sequences, in the order in which parts were measured.
    pub fn finish(mut self) -> Result<Output> {
        let done = caught(|| self.try_finish());
        self.told(done)
    }

    /// Gives the step up for a reason that lies outside of it, such as a batch that could not be loaded. The other ranks
    /// return [`Error::Rank`] with these words where they meet next, instead of waiting for this one; this returns when
    /// they have come there. The step does not go on. In one process nobody has to hear of it.
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
        let _ = self.told::<()>(Err(Error::Step(words.to_owned())));
        self.next = None;
    }

    fn try_measure(&mut self, batch: &Batch) -> Result<()> {
        self.goes_on()?;
        if self.shared.is_some() || self.given.is_some() {
            return Err(Error::Step("every part is measured before the first one is stepped".to_owned()));
        }
        let depth = match self.frozen.plan().first_pass {
            FirstPass::Counts => Depth::Mask,
            FirstPass::Fields => Depth::Fields,
            FirstPass::Model => Depth::Model,
        };
        let _untracked = batch.no_grad();
        let part = self.frozen.read(batch, depth)?;
        self.count(&part);
        Ok(())
    }

    fn count(&mut self, part: &Part) {
        let part = part.detached();
        self.tally.add(&part);
        self.offsets.push(self.offsets[self.offsets.len() - 1] + part.size().0);
        self.measured.push(part);
    }

    fn try_step(&mut self, batch: &Batch) -> Result<PartOutput> {
        self.goes_on()?;
        let count = self.recorded.len();
        if self.given.is_none() && count >= self.measured.len() {
            return Err(Error::Step(format!(
                "part {} was not measured: expected {} parts",
                count + 1,
                self.measured.len()
            )));
        }
        self.look_first()?;
        let part = self.frozen.read(batch, Depth::Model)?;
        let index = match &mut self.given {
            Some(given) => {
                given.see(&part, self.frozen.setup.options.validate)?;
                count
            }
            None => self.recognised(&part)?,
        };
        self.share(&part, index)
    }

    /// The number of a part among those that were measured.
    fn recognised(&self, part: &Part) -> Result<usize> {
        // Where nothing but counts is known of the parts, looking at their values is a matter of validation.
        let exactly =
            self.frozen.plan().first_pass != FirstPass::Counts || self.frozen.setup.options.validate;
        recognise(part, &self.measured, &self.recorded, exactly)
    }

    fn try_only(&mut self, batch: &Batch) -> Result<PartOutput> {
        let part = self.frozen.read(batch, Depth::Model)?;
        self.count(&part);
        self.look_first()?;
        self.share(&part, 0)
    }

    fn share(&mut self, part: &Part, index: usize) -> Result<PartOutput> {
        let offset = self.before + self.offsets.get(index).copied().unwrap_or(0);
        let shared = self.shared.as_ref().expect("what is shared is computed before the shares");
        let loss = self.frozen.share(shared, part, offset, &self.tally)?;
        self.recorded.insert(index, part.detached());
        Ok(PartOutput { loss })
    }

    /// Computes what the parts have to know of the whole, once.
    fn look_first(&mut self) -> Result<()> {
        if self.shared.is_some() {
            return Ok(());
        }
        let looks = self.frozen.plan().first_pass != FirstPass::Counts;
        let mut whole = if looks { Some(Part::join(&self.measured)) } else { None };
        if let Some(group) = self.group.clone() {
            let told = (self.report()?, self.facts()?, whole);
            self.next = None;
            let (ranks, own) = meet(&*group, self.at(Place::Start), Ok(told))?;
            self.before = rows_before(&ranks, &*group);
            if self.given.is_none() {
                let sum = |of: fn(&Report) -> i64| ranks.iter().map(of).sum();
                let width = ranks.iter().map(|rank| rank.width).max().unwrap_or(0);
                self.tally = Tally::known(sum(|rank| rank.tokens), sum(|rank| rank.sequences), width);
            }
            let wanted = self.frozen.plan().mask(|of| of.looked_first);
            whole =
                own.map(|own| own.gathered(&*group, &ranks, self.frozen.program(), &wanted)).transpose()?;
            self.next = Some(if self.looks_last() { Place::Look } else { Place::End });
        }
        let mut shared = match whole {
            Some(whole) => self.frozen.shared(whole, &self.tally)?,
            None => Shared::default(),
        };
        if let (Some(output), Some(_)) = (&mut shared.output, &self.group) {
            let own = Part::join(&self.measured);
            for (_, value) in &mut output.lets {
                *value = own.slice_of(value, self.before);
            }
        }
        self.shared = Some(shared);
        Ok(())
    }

    fn try_finish(&mut self) -> Result<Output> {
        self.goes_on()?;
        if self.recorded.is_empty() || (self.given.is_none() && self.recorded.len() != self.measured.len()) {
            return Err(Error::Step(format!(
                "the step is not whole: {} of {} parts gave their share",
                self.recorded.len(),
                self.measured.len()
            )));
        }
        let _untracked = self.recorded.values().next().and_then(|part| part.mask.tokens.no_grad());
        let output = match self.shared.as_mut().and_then(|shared| shared.output.take()) {
            Some(output) => output,
            None => self.summary()?,
        };
        let seen = self.given.as_ref().map(Given::seen).transpose()?.unwrap_or_default();
        let Some(group) = self.group.clone() else {
            if let Some(given) = &self.given {
                given.compare(seen)?;
            }
            return Ok(output);
        };
        let Seen { tokens, sequences, rows } = seen;
        let report = Report { rows, tokens, sequences, scalars: output.scalars()?, ..Report::default() };
        let told = (report, self.facts()?, output);
        self.next = None;
        let ids = self.frozen.scalars();
        let (ranks, output) = meet(&*group, self.at(Place::End), Ok(told))?;
        if let Some(given) = &self.given {
            let sum = |of: fn(&Report) -> i64| ranks.iter().map(of).sum();
            let [rows, tokens, sequences] =
                [sum(|rank| rank.rows), sum(|rank| rank.tokens), sum(|rank| rank.sequences)];
            given.compare(Seen { tokens, sequences, rows })?;
        }
        let plan = self.frozen.plan();
        let scalars = ids.iter().enumerate().map(|(at, id)| {
            let told = ranks.iter().map(|rank| rank.scalars[at]);
            if plan.adds_up(*id) { told.sum() } else { ranks[0].scalars[at] }
        });
        Ok(output.with_scalars(&scalars.collect::<Vec<f64>>()))
    }

    /// What the parts of this process give: all of the step, or what adds up to it.
    fn summary(&mut self) -> Result<Output> {
        let own = Part::join(self.recorded.values());
        let presets = match self.group.clone() {
            Some(group) => {
                let whole = self.look_last(&own, &*group)?;
                own.slices_of(&whole, self.before)
            }
            None => Presets::new(),
        };
        let frame = frame(&own, self.tally.counts(&own));
        let needed = self.frozen.plan().mask(|of| of.needed);
        let values = self.frozen.evaluate(&own, &frame, &presets, &needed, false)?;
        self.frozen.output(&own, &values, self.tally.tokens())
    }

    /// Every value that spans the step.
    fn look_last(&mut self, own: &Part, group: &dyn ProcessGroup) -> Result<Presets> {
        let known = self.shared.take().unwrap_or_default().presets;
        if !self.looks_last() {
            return Ok(known);
        }
        let (rows, width) = own.size();
        let told = (Report { rows, width, ..Report::default() }, self.facts()?, ());
        self.next = None;
        let (ranks, ()) = meet(group, self.at(Place::Look), Ok(told))?;
        self.before = rows_before(&ranks, group);
        let nodes = self.frozen.plan().known_last();
        let wanted = Plan::computed_for(self.frozen.program(), &nodes, |index| known.contains_key(&index));
        let whole = own.gathered(group, &ranks, self.frozen.program(), &wanted)?;
        self.next = Some(Place::End);
        let mut presets = self.frozen.spanning(&whole, &self.tally, &nodes, &wanted, &known)?;
        presets.extend(known);
        Ok(presets)
    }

    fn looks_last(&self) -> bool {
        !self.frozen.plan().known_last().is_empty()
    }

    fn report(&self) -> Result<Report> {
        let [tokens, sequences, width] = self.tally.numbers()?;
        Ok(Report {
            rows: self.offsets[self.offsets.len() - 1],
            width,
            tokens,
            sequences,
            scalars: Vec::new(),
        })
    }

    fn facts(&self) -> Result<Vec<Fact>> {
        let mut facts = self.frozen.facts();
        if self.given.is_some() {
            let counts = format!("{:?}", self.tally.numbers()?);
            facts.push(("what the caller counted (tokens, sequences, width)".to_owned(), counts));
        }
        if let Some(part) = self.recorded.values().next().or(self.measured.first()) {
            facts.extend(part.facts()?);
        }
        Ok(facts)
    }

    fn at(&self, place: Place) -> At {
        At { place, steps: self.frozen.steps }
    }

    fn goes_on(&self) -> Result<()> {
        if self.next.is_some() {
            return Ok(());
        }
        Err(Error::Step("this step failed on a rank and does not go on: begin another".to_owned()))
    }

    /// Tells the other ranks of an error that they cannot know of, so that none of them waits for this one.
    fn told<T>(&mut self, done: Result<T>) -> Result<T> {
        let Some(group) = &self.group else { return done };
        match (done, self.next) {
            (Err(error), Some(place)) => {
                self.next = None;
                let error = group.failing(error);
                Err(refuse(&**group, self.at(place), error))
            }
            (done, _) => done,
        }
    }
}
