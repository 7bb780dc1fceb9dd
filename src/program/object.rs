//! Plugin objects in a program: serialised as name, owner, version and arguments, and rebuilt through the registry.

use super::moving::MOVING;
use super::{Moving, NodeId};
use crate::plugin::{Declaration, Entry, Lookup, Plugin, registry, restore};
use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;

/// A plugin object and the entry that made it.
pub struct Object<T: ?Sized + Plugin> {
    /// The object, whose fields are the call's arguments.
    pub value: Arc<T>,
    /// Its signature with these arguments.
    pub signature: T::Signature,
    /// The arguments that move, in the order of the nodes that give their values.
    pub moving: Vec<Moving>,
    entry: &'static Entry<T>,
}

impl<T: ?Sized + Plugin> Object<T> {
    /// An object made by an entry.
    pub fn new(entry: &'static Entry<T>, value: Box<T>) -> Self {
        let signature = value.resolve(entry.signature().clone());
        Self { value: Arc::from(value), signature, moving: Vec::new(), entry }
    }

    /// The same kind of object with other arguments.
    pub(super) fn with_args(&self, args: &Value) -> Result<Self, String> {
        let args = args.as_object().cloned().unwrap_or_default();
        let value = restore(self.entry, &args).map_err(|error| format!("`{}`: {error}", self.name()))?;
        Ok(Self { moving: self.moving.clone(), ..Self::new(self.entry, value) })
    }

    /// The declaration of its entry.
    pub fn declaration(&self) -> &'static Declaration {
        &self.entry.declaration
    }

    /// The registered name.
    pub fn name(&self) -> &'static str {
        self.entry.declaration.name
    }

    /// The crate that registered it.
    pub fn owner(&self) -> &'static str {
        self.entry.declaration.owner
    }

    /// That crate's version.
    pub fn version(&self) -> &'static str {
        self.entry.declaration.version
    }

    /// Whether a host such as `python:my_module` registered it, not a crate; then its version changes with its definition.
    pub fn is_hosted(&self) -> bool {
        self.owner().contains(':')
    }

    /// Its arguments in canonical JSON; one that moves is an object with its formula under `moving`.
    pub fn args(&self) -> Value {
        let mut args = self.value_args();
        for moving in &self.moving {
            moving.put(&mut args, json!({ MOVING: moving.formula }));
        }
        args
    }

    /// Its arguments in canonical JSON; one that moves is the name of its node.
    pub(super) fn args_with(&self, nodes: &[NodeId]) -> Value {
        let mut args = self.value_args();
        for (moving, node) in self.moving.iter().zip(nodes) {
            moving.put(&mut args, json!({ MOVING: node.to_string() }));
        }
        args
    }

    /// Its arguments in canonical JSON, with the numbers that they have now.
    pub(super) fn value_args(&self) -> Value {
        serde_json::to_value(&*self.value).unwrap_or(Value::Null)
    }
}

impl<T: ?Sized + Plugin> Clone for Object<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            signature: self.signature.clone(),
            moving: self.moving.clone(),
            entry: self.entry,
        }
    }
}

impl<T: ?Sized + Plugin + fmt::Debug> fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("name", &self.name())
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized + Plugin> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Object", 5)?;
        out.serialize_field("name", self.name())?;
        out.serialize_field("owner", self.owner())?;
        out.serialize_field("version", self.version())?;
        out.serialize_field("args", &*self.value)?;
        if self.moving.is_empty() {
            out.skip_field("moving")?;
        } else {
            out.serialize_field("moving", &self.moving)?;
        }
        out.end()
    }
}

impl<'de, T: ?Sized + Plugin> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Saved {
            name: String,
            owner: String,
            version: String,
            args: Map<String, Value>,
            #[serde(default)]
            moving: Vec<Moving>,
        }

        let Saved { name, owner, version, args, moving } = Saved::deserialize(deserializer)?;
        let kind = T::KIND;
        let found = match registry().find(&name) {
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
        let declaration = found.declaration();
        if (declaration.owner, declaration.version) != (owner.as_str(), version.as_str()) {
            return Err(D::Error::custom(format!(
                "the program needs `{name}` of `{owner}` {version}, and this program has that of `{}` {}",
                declaration.owner, declaration.version
            )));
        }
        let entry = T::entry(found)
            .ok_or_else(|| D::Error::custom(format!("`{name}` is a {}, not a {kind}", found.kind())))?;
        let value = restore(entry, &args).map_err(|error| D::Error::custom(format!("`{name}`: {error}")))?;
        Ok(Self { moving, ..Self::new(entry, value) })
    }
}
