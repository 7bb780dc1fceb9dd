//! Plugin objects inside a program: saved with name, owner, version and arguments, and brought back through
//! the registry.

use crate::plugin::{AnyEntry, Controller, Lookup, Reduction, Term, registry};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A plugin object and where it came from.
#[derive(Debug, Serialize)]
pub struct Object<T: ?Sized + Serialize> {
    /// The registered name.
    pub name: String,
    /// The crate that registered it.
    pub owner: String,
    /// That crate's version.
    pub version: String,
    /// The object, whose fields are the call's arguments.
    #[serde(rename = "args")]
    pub value: Box<T>,
}

impl<T: ?Sized + Serialize> Object<T> {
    /// Whether a host registered it and not a crate, as `python:my_module`; then its version changes with its definition.
    pub fn is_hosted(&self) -> bool {
        self.owner.contains(':')
    }

    /// Its arguments in canonical JSON.
    pub fn args(&self) -> Value {
        serde_json::to_value(&self.value).unwrap_or(Value::Null)
    }
}

/// The kinds of objects a registry can bring back.
pub trait Restore {
    /// Builds the object if the entry is of this kind.
    fn build(entry: AnyEntry, args: Value) -> Option<erased_serde::Result<Box<Self>>>;
    /// The kind's name.
    const KIND: &'static str;
}

macro_rules! restore {
    ($object:ty, $variant:ident, $kind:literal) => {
        impl Restore for $object {
            const KIND: &'static str = $kind;

            fn build(entry: AnyEntry, args: Value) -> Option<erased_serde::Result<Box<Self>>> {
                let AnyEntry::$variant(entry) = entry else { return None };
                Some((entry.build)(&mut <dyn erased_serde::Deserializer>::erase(args)))
            }
        }
    };
}

restore!(dyn Term, Term, "term");
restore!(dyn Reduction, Reduction, "reduction");
restore!(dyn Controller, Controller, "controller");

impl<'de, T: ?Sized + Restore + Serialize> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Saved {
            name: String,
            owner: String,
            version: String,
            args: Value,
        }

        let Saved { name, owner, version, args } = Saved::deserialize(deserializer)?;
        let kind = T::KIND;
        let entry = match registry().find(&name) {
            Lookup::Found(entry) => entry,
            Lookup::Clash(_) => {
                return Err(D::Error::custom(format!("more than one linked crate registers `{name}`")));
            }
            Lookup::Unknown => {
                return Err(D::Error::custom(format!(
                    "the program needs the {kind} `{name}` of `{owner}` {version}, which no linked crate registers"
                )));
            }
        };
        let info = entry.info();
        if (info.owner, info.version) != (owner.as_str(), version.as_str()) {
            return Err(D::Error::custom(format!(
                "the program needs `{name}` of `{owner}` {version}, and this program has that of `{}` {}",
                info.owner, info.version
            )));
        }
        let value = T::build(entry, args)
            .ok_or_else(|| D::Error::custom(format!("`{name}` is a {}, not a {kind}", entry.kind())))?
            .map_err(|error| D::Error::custom(format!("`{name}`: {error}")))?;
        Ok(Self { name, owner, version, value })
    }
}
