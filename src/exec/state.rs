//! Saves and restores what a session remembers.

use super::differences::differences;
use super::error::{Error, Result};
use super::session::Session;
use crate::plugin::ControllerState;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of the format below.
const FORMAT: u32 = 1;

/// Everything a session remembers, and which program it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionState {
    /// The version of this format.
    pub format: u32,
    /// What the program is, part by part.
    pub program: Vec<(String, String)>,
    /// How many steps were observed.
    pub steps: u64,
    /// The controllers' states by name.
    pub controllers: Vec<(String, ControllerState)>,
}

impl Session {
    /// What the session remembers.
    pub fn state(&self) -> SessionState {
        let names = self.program().controllers.iter().map(|controller| controller.name.clone());
        SessionState {
            format: FORMAT,
            program: self.program().identity(),
            steps: self.steps,
            controllers: names.zip(self.states.iter().cloned()).collect(),
        }
    }

    /// Takes up a saved state; one of another program is refused with what differs.
    pub fn restore(&mut self, state: SessionState) -> Result<()> {
        check_format(state.format)?;
        let sides = ["here", "in the saved state"];
        let differences = differences(&self.program().identity(), &state.program, sides);
        if !differences.is_empty() {
            return Err(Error::State(format!(
                "the saved state belongs to another program: {}",
                differences.join("; ")
            )));
        }
        let names = self.program().controllers.iter().map(|controller| &controller.name);
        if !names.eq(state.controllers.iter().map(|(name, _)| name)) {
            return Err(Error::State(
                "the saved state lists other controllers than its program has".to_owned(),
            ));
        }
        self.steps = state.steps;
        self.states = state.controllers.into_iter().map(|(_, state)| state).collect();
        Ok(())
    }

    /// Writes the state as JSON: beside the file first, then in its place, so that a kill at any moment leaves
    /// the old state or the new one.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let fail =
            |error: std::io::Error| Error::State(format!("cannot write `{}`: {error}", path.display()));
        let text = serde_json::to_string_pretty(&self.state()).map_err(|error| fail(error.into()))?;
        aent_files::write(path, text.as_bytes()).map_err(fail)
    }

    /// Takes up the state in a file.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::State(format!("cannot read the state `{name}`: {error}")))?;
        let fail = |error| Error::State(format!("`{name}` is not a saved state: {error}"));
        // Another format may hold anything, so its number is read alone first.
        let Version { format } = serde_json::from_str(&text).map_err(fail)?;
        check_format(format)?;
        self.restore(serde_json::from_str(&text).map_err(fail)?)
    }
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn check_format(found: u32) -> Result<()> {
    if found == FORMAT {
        return Ok(());
    }
    Err(Error::State(format!("expected a saved state of format {FORMAT}, found format {found}")))
}
