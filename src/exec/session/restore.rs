//! Saves and restores a session's state.

use super::Session;
use crate::exec::error::{Error, Result};
use crate::exec::saved::{Fit, SavedController, SessionState};
use std::path::Path;

impl Session {
    /// The session's current state.
    pub fn state(&self) -> SessionState {
        let program = self.program();
        let saved = program.controllers.iter().zip(&self.states).map(|(controller, state)| SavedController {
            name: controller.name.clone(),
            kind: controller.object.name().to_owned(),
            args: controller.object.args(),
            signal: controller.signal.map(|id| program.expression(id)),
            state: state.clone(),
        });
        SessionState::of(self.steps, saved.collect())
    }

    /// Restores a saved state. Refuses a state of different controllers, saying what differs, and a state that no run can
    /// produce. On an error nothing changes. A session without controllers accepts any state.
    pub fn restore(&mut self, state: SessionState) -> Result<()> {
        let fit = self.fit(&state)?;
        if let Some(refusal) = fit.refusal("`restore_matching` takes up what fits and starts the others anew")
        {
            return Err(Error::State(refusal));
        }
        self.restore_matching(state).map(|_| ())
    }

    /// Restores the matching controllers of a saved state, leaves the others unchanged, and returns the comparison.
    /// Refuses a matching state that no run can produce. On an error nothing changes.
    pub fn restore_matching(&mut self, state: SessionState) -> Result<Fit> {
        let fit = self.fit(&state)?;
        let names: Vec<String> = self.program().controllers.iter().map(|of| of.name.clone()).collect();
        let mut states = self.states.clone();
        for saved in state.controllers {
            if fit.taken.contains(&saved.name)
                && let Some(at) = names.iter().position(|name| *name == saved.name)
            {
                states[at] = saved.state;
            }
        }
        self.setup = self.setup.at(&states, state.steps)?;
        (self.states, self.steps) = (states, state.steps);
        Ok(fit)
    }

    /// Compares a saved state with this session, without restoring it.
    pub fn fit(&self, state: &SessionState) -> Result<Fit> {
        state.fit(self.program())
    }

    /// Writes the state as JSON, atomically: a kill at any moment leaves the old file or the new one.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let fail =
            |error: std::io::Error| Error::State(format!("cannot write `{}`: {error}", path.display()));
        let text = serde_json::to_string_pretty(&self.state()).map_err(|error| fail(error.into()))?;
        aent_files::write(path, text.as_bytes()).map_err(fail)
    }

    /// Restores the state in a file; see [`Session::restore`].
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.restore(SessionState::read(path)?)
    }
}
