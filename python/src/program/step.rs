//! A step of a program, by itself or with other ranks, and what it reads of the logits.

use super::{Program, session};
use crate::accumulation::Accumulation;
use crate::batch::Given;
use crate::errors::{self, guarded};
use crate::host::to_python;
use crate::output::Output;
use crate::ranks::{self, Joined, Spread};
use aent::Counts;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The ranks of a step, as the keywords name them.
pub(super) struct Over<'a, 'py> {
    pub(super) group: Option<&'a Bound<'py, PyAny>>,
    pub(super) process_group: Option<&'a Bound<'py, PyAny>>,
    pub(super) gradients: &'a str,
    pub(super) vocab_group: Option<&'a Bound<'py, PyAny>>,
    pub(super) sequence_group: Option<&'a Bound<'py, PyAny>>,
    pub(super) sequence_order: &'a str,
}

impl<'py> Over<'_, 'py> {
    /// The batch fields given by name, and the ranks of all sorts but those of the vocabulary.
    fn spread(
        &self,
        py: Python<'py>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bound<'py, PyDict>, Spread)> {
        let (named, ranks) = ranks::split(py, fields, self.group, self.process_group)?;
        Ok((named, Spread::new(ranks, self.sequence_group, self.sequence_order)?))
    }
}

impl Program {
    /// A step on one batch.
    pub(super) fn step<'py>(
        &self,
        py: Python<'py>,
        batch: Option<&Bound<'py, PyAny>>,
        over: &Over<'_, 'py>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Output> {
        let session = ranks::in_shards(self.now(), over.vocab_group)?;
        let spread = guarded(|| over.spread(py, fields));
        let (named, mut spread) = spread.map_err(|raised| ranks::give_up_shards(py, &session, raised))?;
        let given = guarded(|| Ok((Joined::named(over.gradients)?, self.names.read(batch, Some(&named))?)));
        let (joined, Given { batch, others, .. }) =
            given.map_err(|raised| spread.give_up(py, &session, raised))?;
        spread.joined = joined;
        let (ranks, shards) = (spread.ranks.clone(), spread.shards.clone());
        let (share, whole) = match (shards, ranks) {
            (Some(shards), ranks) => {
                self.run(&session, &others, |session| session.forward_shards(&batch, shards, ranks))?
            }
            (None, Some(ranks)) => {
                self.run(&session, &others, |session| session.forward_over(&batch, ranks))?
            }
            (None, None) => {
                let output = self.run(&session, &others, |session| session.forward(&batch))?;
                return Output::new(py, output);
            }
        };
        let losses = share.losses().map(|(name, loss)| Ok((name.to_owned(), spread.share(loss)?)));
        Output::with_share(py, &spread.share(share.loss())?, losses.collect::<PyResult<_>>()?, whole)
    }

    /// The beginning of a step in parts, with what the caller knows of the whole step.
    pub(super) fn begin<'py>(
        &self,
        py: Python<'py>,
        over: &Over<'_, 'py>,
        counts: Counts,
        scale: f64,
    ) -> PyResult<Accumulation> {
        let session = ranks::in_shards(self.now(), over.vocab_group)?;
        let spread = guarded(|| over.spread(py, None));
        let (_, mut spread) = spread.map_err(|raised| ranks::give_up_shards(py, &session, raised))?;
        let begun = guarded(|| {
            spread.joined = Joined::named(over.gradients)?;
            let begin = || {
                let step = spread.begin(&session)?.scaled(scale)?;
                if counts == Counts::default() { Ok(step) } else { step.with_counts(counts) }
            };
            begin().map_err(errors::of_step)
        });
        match begun {
            Ok(parts) => {
                let in_shards = session.is_in_shards();
                Ok(Accumulation::new(parts, self.names.clone(), spread, in_shards, self.turn))
            }
            Err(raised) => Err(spread.give_up(py, &session, raised)),
        }
    }

    /// What the program reads of the logits, and `more`.
    pub(super) fn rows_of<'py>(
        &self,
        py: Python<'py>,
        batch: Option<&Bound<'py, PyAny>>,
        more: &[String],
        vocab_group: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let session = ranks::in_shards(self.now(), vocab_group)?;
        let given = guarded(|| Ok((session::statistics(more)?, self.names.read(batch, fields)?)));
        let (more, Given { batch, others, .. }) =
            given.map_err(|raised| ranks::give_up_shards(py, &session, raised))?;
        let rows = self.run(&session, &others, |session| session.rows_with(&batch, &more))?;
        to_python(py, &rows)
    }
}
