//! How far a step in parts is.

use crate::exec::error::{Error, Result};
use crate::exec::frozen::Shared;
use crate::exec::part::Part;
use crate::exec::ranks::Place;
use crate::plan::Plan;
use std::collections::BTreeMap;

/// How far a step is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its parts are measured.
    Measuring,
    /// They give their shares.
    Sharing(Box<Sharing>),
    /// The ranks have exchanged what the metrics need; their numbers are left.
    Closing,
    /// It failed on a rank, and does not go on.
    Failed,
}

/// A step whose parts give their shares.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) shared: Shared,
    /// Number of rows on lower ranks.
    pub(super) before: i64,
    /// Parts that gave their share, detached, by measured index. The metrics are computed from them.
    pub(super) recorded: BTreeMap<usize, Part>,
}

impl Phase {
    pub(super) fn goes_on(&self) -> Result<()> {
        if matches!(self, Self::Failed) { Err(over()) } else { Ok(()) }
    }

    pub(super) fn sharing(&self) -> Result<&Sharing> {
        if let Self::Sharing(sharing) = self { Ok(sharing) } else { Err(over()) }
    }

    pub(super) fn sharing_mut(&mut self) -> Result<&mut Sharing> {
        if let Self::Sharing(sharing) = self { Ok(sharing) } else { Err(over()) }
    }

    /// How many parts gave their share.
    pub(super) fn recorded(&self) -> usize {
        self.sharing().map_or(0, |sharing| sharing.recorded.len())
    }

    /// Where the ranks meet next.
    pub(super) fn place(&self, plan: &Plan) -> Option<Place> {
        match self {
            Self::Measuring => Some(Place::Start),
            Self::Sharing(_) if !plan.known_last().is_empty() => Some(Place::Look),
            Self::Sharing(_) | Self::Closing => Some(Place::End),
            Self::Failed => None,
        }
    }
}

pub(super) fn over() -> Error {
    Error::Step("this step failed on a rank and does not go on: begin another".to_owned())
}
