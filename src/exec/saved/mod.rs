//! A session's saved state: its controllers and its step count.

mod fit;
mod v1;

use super::error::{Error, Result};
use crate::plugin::ControllerState;
use crate::program::Program;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::fmt;
use std::path::Path;

pub use fit::Fit;
pub(super) use fit::check_state;

/// The version of the format that is written. All versions up to it can be read.
const FORMAT: u32 = 2;

/// The saved state of a session. It depends on the controllers only, not on the rest of the program: each is identified
/// by name, kind, arguments and the formula of its signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionState {
    /// The version of this format.
    pub format: u32,
    /// The number of steps observed.
    pub steps: u64,
    /// The controllers.
    pub controllers: Vec<SavedController>,
    /// The identity of the whole program, in format 1; later formats describe each controller instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    program: Vec<(String, String)>,
}

/// A controller with its state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SavedController {
    /// The coefficient's name.
    pub name: String,
    /// The registered name of its rule, such as `band`.
    pub kind: String,
    /// The rule's arguments.
    pub args: Value,
    /// The formula of its signal; `None` if it takes no signal.
    pub signal: Option<String>,
    /// Its state.
    pub state: ControllerState,
}

impl Default for SessionState {
    /// The state of a program without controllers, before its first step.
    fn default() -> Self {
        Self::of(0, Vec::new())
    }
}

impl SessionState {
    pub(super) fn of(steps: u64, controllers: Vec<SavedController>) -> Self {
        Self { format: FORMAT, steps, controllers, program: Vec::new() }
    }

    /// Reads a file written by [`Session::save`](crate::Session::save) of this release or an earlier one.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::State(format!("cannot read the state `{name}`: {error}")))?;
        let fail = |error| Error::State(format!("`{name}` is not a saved state: {error}"));
        // Read the version alone first, since other formats may have any fields.
        let Version { format } = serde_json::from_str(&text).map_err(fail)?;
        check_format(format)?;
        serde_json::from_str(&text).map_err(fail)
    }

    /// Compares it with a program's controllers.
    pub(super) fn fit(&self, program: &Program) -> Result<Fit> {
        check_format(self.format)?;
        if self.format == 1 {
            return Fit::of(program, &v1::upgraded(self, program)?);
        }
        Fit::of(program, self)
    }
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn check_format(found: u32) -> Result<()> {
    if (1..=FORMAT).contains(&found) {
        return Ok(());
    }
    Err(Error::State(format!("expected a saved state of format 1 to {FORMAT}, found format {found}")))
}

impl<'de> Deserialize<'de> for SavedController {
    /// From an object, or from the pair of format 1.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
            kind: String,
            args: Value,
            #[serde(default)]
            signal: Option<String>,
            state: ControllerState,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = SavedController;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a controller with `name`, `kind`, `args`, `signal` and `state`")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
                let Named { name, kind, args, signal, state } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SavedController { name, kind, args, signal, state })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> std::result::Result<Self::Value, A::Error> {
                let missing = |at| serde::de::Error::invalid_length(at, &"a name and a state");
                let name = pair.next_element()?.ok_or_else(|| missing(0))?;
                let state = pair.next_element()?.ok_or_else(|| missing(1))?;
                Ok(SavedController { name, kind: String::new(), args: Value::Null, signal: None, state })
            }
        }

        deserializer.deserialize_any(Either)
    }
}
