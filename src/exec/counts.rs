//! The counts of a step that a caller knows before its first part.

use super::error::{Error, Result};
use crate::plan::{Need, Requirement};
use std::collections::{BTreeMap, BTreeSet};

/// What a caller knows of a whole step before its first part, over all ranks. What the program reads of it has to be there; see
/// [`Program::requires`](crate::program::Program::requires).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The valid tokens.
    pub tokens: Option<i64>,
    /// The sequences with a valid token. Those without may be counted or not.
    pub sequences: Option<i64>,
    /// The padded length, that of the longest part.
    pub width: Option<i64>,
    /// By the field that tells groups apart, such as `group`: how many groups there are, of which each is whole in one part.
    /// Those without a valid token may be counted or not.
    pub groups: BTreeMap<String, i64>,
}

impl Counts {
    /// Refuses negative counts.
    pub(super) fn checked(self) -> Result<Self> {
        let named = [("tokens", self.tokens), ("sequences", self.sequences), ("width", self.width)];
        let groups = self.groups.values().map(|count| ("groups", Some(*count)));
        for (name, count) in named.into_iter().chain(groups) {
            if let Some(count) = count.filter(|count| *count < 0) {
                return Err(Error::Step(format!("`{name}`: expected a count of 0 or more, found {count}")));
            }
        }
        Ok(self)
    }

    /// The fields whose groups are whole in each part.
    pub(super) fn group_fields(&self) -> BTreeSet<String> {
        self.groups.keys().cloned().collect()
    }

    /// Whether they have what a program requires.
    pub(super) fn meet(&self, requirement: &Requirement) -> bool {
        match requirement.need {
            Need::Tokens => self.tokens.is_some(),
            Need::Sequences => self.sequences.is_some(),
            Need::Width => self.width.is_some(),
            Need::Groups => requirement.field.as_ref().is_some_and(|field| self.groups.contains_key(field)),
            Need::Fields | Need::WholeStep => false,
        }
    }
}
