//! A step of a program, by itself or with other ranks, and what it reads of the logits.

use super::{Program, session};
use crate::accumulation::Accumulation;
use crate::batch::Given;
use crate::errors::{self, guarded};
use crate::host::to_python;
use crate::output::Output;
use crate::ranks::{self, Joined};
use aent::tensor::Tensor;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The ranks of a step, as the keywords name them.
pub(super) struct Over<'a, 'py> {
    pub(super) group: Option<&'a Bound<'py, PyAny>>,
    pub(super) process_group: Option<&'a Bound<'py, PyAny>>,
    pub(super) gradients: &'a str,
    pub(super) vocab_group: Option<&'a Bound<'py, PyAny>>,
}

impl Program {
    /// A step on one batch.
    pub(super) fn step(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyAny>>,
        over: &Over<'_, '_>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Output> {
        let session = ranks::in_shards(self.now(), over.vocab_group)?;
        let given = guarded(|| {
            let (named, ranks) = ranks::split(py, fields, over.group, over.process_group)?;
            let given = guarded(|| Ok((Joined::named(over.gradients)?, self.names.read(batch, Some(&named))?)));
            match (given, ranks) {
                (Ok(given), ranks) => Ok((given, ranks)),
                (Err(raised), Some(ranks)) => Err(ranks::give_up(py, &session, &ranks, raised)),
                (Err(raised), None) => Err(raised),
            }
        });
        let ((joined, Given { batch, others, .. }), ranks) =
            given.map_err(|raised| ranks::give_up_shards(py, &session, raised))?;
        let Some(ranks) = ranks else {
            let output = self.run(&session, &others, move |session| session.forward(&batch))?;
            return Output::new(py, output);
        };
        let group = ranks.clone();
        let (share, whole) =
            self.run(&session, &others, move |session| session.forward_over(&batch, group))?;
        let shares = |tensor: &Tensor| joined.share(tensor, Some(&ranks));
        let losses = share.losses().map(|(name, loss)| Ok((name.to_owned(), shares(loss)?)));
        Output::with_share(py, &shares(share.loss())?, losses.collect::<PyResult<_>>()?, whole)
    }

    /// The beginning of a step in parts, with the counts of the whole step if the caller knows them: tokens, sequences and
    /// width.
    pub(super) fn begin(
        &self,
        py: Python<'_>,
        over: &Over<'_, '_>,
        counts: [Option<i64>; 3],
    ) -> PyResult<Accumulation> {
        let session = ranks::in_shards(self.now(), over.vocab_group)?;
        let begun = guarded(|| {
            let (_, ranks) = ranks::split(py, None, over.group, over.process_group)?;
            let begun = guarded(|| {
                let joined = Joined::named(over.gradients)?;
                let mut parts = session.accumulate();
                if let Some(ranks) = &ranks {
                    parts = parts.over(ranks.clone()).map_err(errors::of_step)?;
                }
                match counts {
                    [None, None, None] => {}
                    [Some(tokens), Some(sequences), Some(width)] => {
                        parts = parts.with_counts(tokens, sequences, width).map_err(errors::of_step)?;
                    }
                    _ => {
                        return Err(PyTypeError::new_err(
                            "`accumulate`: expected `tokens`, `sequences` and `width` together, or none of them",
                        ));
                    }
                }
                Ok((parts, joined))
            });
            match (begun, ranks) {
                (Ok((parts, joined)), ranks) => {
                    Ok(Accumulation::new(parts, self.names.clone(), (ranks, joined), &session, self.turn))
                }
                (Err(raised), Some(ranks)) => Err(ranks::give_up(py, &session, &ranks, raised)),
                (Err(raised), None) => Err(raised),
            }
        });
        begun.map_err(|raised| ranks::give_up_shards(py, &session, raised))
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
