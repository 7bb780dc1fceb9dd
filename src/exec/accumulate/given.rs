//! Checks the caller's counts of a step against its parts.

use crate::exec::error::{Error, Result};
use crate::exec::part::Part;
use crate::exec::tally::Tally;

/// The caller's counts, and those of the parts so far.
#[derive(Debug)]
pub(super) struct Given {
    tokens: i64,
    sequences: i64,
    tally: Tally,
    rows: i64,
}

/// Counts over the parts of a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub tokens: i64,
    /// Sequences with a valid token.
    pub sequences: i64,
    /// All sequences.
    pub rows: i64,
}

impl Given {
    pub(super) fn new(tokens: i64, sequences: i64, width: i64) -> Result<Self> {
        for (name, count) in [("tokens", tokens), ("sequences", sequences), ("width", width)] {
            if count < 0 {
                return Err(Error::Step(format!("`{name}`: expected a count of 0 or more, found {count}")));
            }
        }
        Ok(Self { tokens, sequences, tally: Tally::default(), rows: 0 })
    }

    /// Adds a part's counts. If `now`, refuses the part if they exceed the caller's.
    pub(super) fn see(&mut self, part: &Part, now: bool) -> Result<()> {
        self.tally.add(part);
        self.rows += part.size().0;
        if !now {
            return Ok(());
        }
        let Seen { tokens, sequences, .. } = self.seen()?;
        for (name, given, seen) in [("tokens", self.tokens, tokens), ("sequences", self.sequences, sequences)]
        {
            if seen > given {
                return Err(Error::Step(format!(
                    "`{name}`: the caller counted {given} in the whole step, and its parts bring {seen} so far"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn seen(&self) -> Result<Seen> {
        let [tokens, sequences, _] = self.tally.numbers()?;
        Ok(Seen { tokens, sequences, rows: self.rows })
    }

    /// Refuses a step whose counts differ from the caller's.
    pub(super) fn compare(&self, seen: Seen) -> Result<()> {
        if self.tokens != seen.tokens {
            let (given, seen) = (self.tokens, seen.tokens);
            return Err(Error::Step(format!(
                "`tokens`: the caller counted {given} in the whole step, and its parts brought {seen}: the gradients are \
                 those of a step with {given}"
            )));
        }
        if !(seen.sequences..=seen.rows).contains(&self.sequences) {
            let (given, Seen { sequences, rows, .. }) = (self.sequences, seen);
            return Err(Error::Step(format!(
                "`sequences`: the caller counted {given} in the whole step, and its parts brought {sequences} with a valid \
                 token, {rows} in all"
            )));
        }
        Ok(())
    }
}
