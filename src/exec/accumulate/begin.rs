//! How a step in parts begins: what the caller says of it before the first part.

use super::Accumulation;
use super::given::Given;
use super::phase::Phase;
use crate::exec::counts::Counts;
use crate::exec::error::{Error, Result};
use crate::exec::ranks::ProcessGroup;
use crate::exec::shards::SequenceShards;
use crate::exec::tally::Tally;
use std::sync::Arc;

impl Accumulation {
    /// Spreads the step over the ranks of `group`: denominators, metrics and signals cover all parts of all ranks, and
    /// the shares add up over ranks. Call it on every rank, before the first part.
    ///
    /// An error on one rank fails the step on all of them; discard the gradients computed until then. If every rank has
    /// exactly one part, [`crate::Session::forward_over`] reads it once instead of twice.
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
        if self.group.is_some() || !matches!(self.phase, Phase::Measuring) || !self.measured.is_empty() {
            return Err(Error::Step("a step is made one of many processes before its first part".to_owned()));
        }
        self.group = Some(group);
        Ok(self)
    }

    /// Sets the counts of the whole step over all ranks, so that nothing has to be measured: a part's share is final when
    /// it is asked for.
    ///
    /// ```no_run
    /// # fn run(session: &aent::Session, parts: &[aent::Batch], tokens: i64) -> aent::Result<()> {
    /// use aent::Counts;
    ///
    /// let counts = Counts { tokens: Some(tokens), ..Counts::default() };
    /// // The engine divides each loss by their number.
    /// let mut step = session.accumulate().with_counts(counts)?.scaled(parts.len() as f64)?;
    /// for part in parts {
    ///     step.forward(part)?.backward()?;
    /// }
    /// println!("{:?}", step.finish()?.metrics()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A program that needs more of the step fails at once, and so does a negative count; see
    /// [`Program::requires`](crate::program::Program::requires). The first part that exceeds the counts fails in `forward`
    /// (without [`crate::Options::validate`], in `finish`), and so does a group in two parts; too few of anything fails
    /// in `finish`.
    pub fn with_counts(mut self, counts: Counts) -> Result<Self> {
        let counts = counts.checked()?;
        self.frozen.setup = self.frozen.setup.with_groups(&counts.group_fields());
        self.frozen.refuse_unmet(&counts)?;
        self.given = Some(Given::new(counts.clone(), self.frozen.plan()));
        self.tally = Tally::given(counts);
        Ok(self)
    }

    /// Multiplies each share, for an engine that scales the losses of parts itself: one that divides them by their number
    /// takes that number. What [`Accumulation::finish`] returns is not scaled.
    pub fn scaled(mut self, scale: f64) -> Result<Self> {
        if !scale.is_finite() || scale == 0.0 {
            return Err(Error::Step(format!(
                "`scale`: expected a finite number other than 0, found {scale}"
            )));
        }
        self.scale = scale;
        Ok(self)
    }

    /// Says that each part is given in shards: the ranks of `shards` measure the same parts and ask for the same shares, each
    /// with its own tokens. The shares of all of them add up to the part's. Call it before the first part; the ranks of
    /// [`Accumulation::over`] hold other sequences, cut in the same way.
    pub fn sharded(mut self, shards: SequenceShards) -> Result<Self> {
        if !matches!(self.phase, Phase::Measuring) || !self.measured.is_empty() {
            return Err(Error::Step("a step is given in shards before its first part".to_owned()));
        }
        self.shards = Some(shards);
        Ok(self)
    }
}
