//! The session in a program: who looks at it, and who puts another in its place.

use super::{Origin, Program};
use crate::batch::{Given, Names};
use crate::errors::{self, guarded};
use crate::lock::Gate;
use crate::turns::Turn;
use aent::rows::Statistic;
use aent::{Batch, Session};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

impl Program {
    /// A program at step zero.
    pub(crate) fn new(session: Session, origin: Origin) -> Self {
        let names = Names::of(session.program());
        let session = Mutex::new(Arc::new(session));
        Self { session, writing: Gate::default(), names, turn: Turn::new(), origin }
    }

    /// The session as it is now. Call it with the GIL.
    pub(super) fn now(&self) -> Arc<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the session as it is now.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Session) -> T) -> T {
        look(&self.now())
    }

    /// Runs a step of the session as it was seen.
    pub(super) fn run<T>(
        &self,
        session: &Session,
        others: &[String],
        run: impl FnOnce(&Session) -> aent::Result<T>,
    ) -> PyResult<T> {
        // The GIL is given back while kernels run, and by torch in its own operations: to give it back here too would only take
        // it again for each of them.
        let result = self.turn.inside(|| run(session));
        result.map_err(|error| errors::of_fields(error, others))
    }

    /// Looks at what a batch gives.
    pub(super) fn look<T>(
        &self,
        batch: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyDict>>,
        look: impl FnOnce(&Session, &Batch) -> aent::Result<T>,
    ) -> PyResult<T> {
        guarded(|| {
            let Given { batch, others, .. } = self.names.read(batch, fields)?;
            self.run(&self.now(), &others, |session| look(session, &batch))
        })
    }

    /// Puts a changed session in place of the one that is there, or none.
    pub(super) fn write<T: Send>(
        &self,
        py: Python<'_>,
        call: &str,
        write: impl FnOnce(&mut Session) -> aent::Result<T> + Send,
    ) -> PyResult<T> {
        if self.turn.is_mine() {
            let text =
                format!("`{call}` inside of a step of the same program: call it when the step is computed");
            return Err(errors::of_turn(text));
        }
        let result = py.detach(|| {
            let _alone = self.writing.enter();
            let mut session = Session::clone(&Python::attach(|_| self.now()));
            let done = self.turn.inside(|| write(&mut session))?;
            let mut session = Arc::new(session);
            Python::attach(|_| {
                let mut place = self.session.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut *place, &mut session);
            });
            Ok(done)
        });
        result.map_err(errors::of_step)
    }
}

/// What a program needs of the step, by name.
pub(super) fn requirements(session: &Session) -> BTreeMap<&'static str, Vec<BTreeMap<&'static str, String>>> {
    let program = session.program();
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for of in program.requires() {
        let known = [
            ("formula", program.source_of(of.span)),
            ("place", program.place_of(of.span)),
            ("field", of.field),
        ];
        let said = known.into_iter().filter_map(|(name, text)| Some((name, text?)));
        found.entry(of.need.as_str()).or_default().push(said.collect());
    }
    found
}

/// Statistics by the names that `rows` takes.
pub(super) fn statistics(names: &[String]) -> PyResult<Vec<Statistic>> {
    let statistic = |name: &String| {
        let known = [Statistic::LogProb, Statistic::Entropy];
        let found = known.into_iter().find(|statistic| statistic.name() == name);
        found.ok_or_else(|| {
            PyValueError::new_err(format!("`more`: expected `log_prob` or `entropy`, found `{name}`"))
        })
    };
    names.iter().map(statistic).collect()
}
