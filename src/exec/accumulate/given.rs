//! Checks the caller's counts of a step against its parts.

use super::groups::Groups;
use crate::exec::counts::Counts;
use crate::exec::error::{Error, Result};
use crate::exec::part::Part;
use crate::exec::tally::Tally;
use crate::plan::Plan;

/// The caller's counts, and those of the parts so far.
#[derive(Debug)]
pub(super) struct Given {
    counts: Counts,
    tally: Tally,
    rows: i64,
    /// One for each field whose groups the caller counted and the program reads.
    groups: Vec<Groups>,
}

/// Counts over the parts of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub tokens: i64,
    /// Sequences with a valid token.
    pub sequences: i64,
    /// All sequences.
    pub rows: i64,
    /// Groups with a valid token, by the caller's fields in their order.
    pub groups: Vec<i64>,
}

impl Given {
    pub(super) fn new(counts: Counts, plan: &Plan) -> Self {
        let groups = counts.groups.iter().filter_map(|(field, count)| Groups::of(plan, field, *count));
        Self { groups: groups.collect(), counts, tally: Tally::default(), rows: 0 }
    }

    /// What the caller counted, in words.
    pub(super) fn in_words(&self) -> String {
        let Counts { tokens, sequences, width, groups } = &self.counts;
        let named = [("tokens", tokens), ("sequences", sequences), ("width", width)];
        let counts = named.into_iter().filter_map(|(name, count)| Some((name.to_owned(), (*count)?)));
        let groups = groups.iter().map(|(field, count)| (format!("groups by `{field}`"), *count));
        let all = counts.chain(groups).map(|(name, count)| format!("{count} {name}"));
        all.collect::<Vec<_>>().join(", ")
    }

    /// Adds a part's counts. If `now`, refuses the part if they exceed the caller's.
    pub(super) fn see(&mut self, part: &Part, now: bool) -> Result<()> {
        self.tally.add(part);
        self.rows += part.size().0;
        self.groups.iter_mut().for_each(|groups| groups.add(part));
        if !now {
            return Ok(());
        }
        let Seen { tokens, sequences, groups, .. } = self.seen()?;
        let named = [("tokens", self.counts.tokens, tokens), ("sequences", self.counts.sequences, sequences)];
        let groups = self.groups.iter().zip(groups).map(|(of, seen)| ("groups", Some(of.counted), seen));
        for (name, given, seen) in named.into_iter().chain(groups) {
            if let Some(given) = given.filter(|given| seen > *given) {
                return Err(Error::Step(format!(
                    "`{name}`: the caller counted {given} in the whole step, and its parts bring {seen} so far"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn seen(&mut self) -> Result<Seen> {
        let [tokens, sequences, _] = self.tally.numbers()?;
        let groups = self.groups.iter_mut().map(Groups::seen).collect::<Result<_>>()?;
        Ok(Seen { tokens, sequences, rows: self.rows, groups })
    }

    /// The number of tokens in the step: the caller's, or what its parts brought.
    pub(super) fn tokens(&self, seen: &Seen) -> i64 {
        self.counts.tokens.unwrap_or(seen.tokens)
    }

    /// Refuses a step whose counts differ from the caller's.
    pub(super) fn compare(&self, seen: &Seen) -> Result<()> {
        let given = self.tokens(seen);
        if given != seen.tokens {
            let seen = seen.tokens;
            return Err(Error::Step(format!(
                "`tokens`: the caller counted {given} in the whole step, and its parts brought {seen}: the gradients are \
                 those of a step with {given}"
            )));
        }
        let Seen { sequences, rows, .. } = *seen;
        if let Some(given) = self.counts.sequences.filter(|given| !(sequences..=rows).contains(given)) {
            return Err(Error::Step(format!(
                "`sequences`: the caller counted {given} in the whole step, and its parts brought {sequences} with a valid \
                 token, {rows} in all"
            )));
        }
        for (Groups { name, counted, .. }, seen) in self.groups.iter().zip(&seen.groups) {
            // Of sequences without a valid token nobody knows the group.
            if !(*seen..=seen + rows - sequences).contains(counted) {
                return Err(Error::Step(format!(
                    "`groups`: the caller counted {counted} by `{name}` in the whole step, and its parts brought {seen}; each \
                     has to be whole in one part"
                )));
            }
        }
        Ok(())
    }
}
