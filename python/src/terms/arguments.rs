//! The constant arguments of a term in Python: what a function declares, and what a call gives.

use aent::plugin::Bounds;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::fmt;

/// A keyword-only parameter of a function.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Constant {
    pub(crate) name: String,
    kind: Kind,
    default: Option<Value>,
}

impl Constant {
    /// The argument as an example of a call gives it, where a call must.
    pub(crate) fn example(&self) -> Option<String> {
        let value = match self.kind {
            Kind::Number => "0.5",
            Kind::Integer => "1",
            Kind::Bool => "true",
            Kind::String => "\"text\"",
            Kind::Range => "0 .. 1",
        };
        self.default.is_none().then(|| format!("{} = {value}", self.name))
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Number,
    Integer,
    Bool,
    String,
    Range,
}

/// What a call gives, by name in the order of declaration.
#[derive(Debug)]
pub(crate) struct Given(pub(crate) Vec<(&'static str, Value)>);

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Reads the arguments of a call.
pub(crate) struct Call {
    pub(crate) constants: &'static [Constant],
    pub(crate) fields: &'static [&'static str],
}

impl<'de> Visitor<'de> for Call {
    type Value = Given;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the arguments of a call")
    }

    // A function without constants.
    fn visit_unit<E: Error>(self) -> Result<Given, E> {
        Ok(Given(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        let mut given: Vec<Option<Value>> = vec![None; self.fields.len()];
        while let Some(name) = map.next_key::<String>()? {
            let Some(index) = self.fields.iter().position(|field| *field == name) else {
                return Err(A::Error::unknown_field(&name, self.fields));
            };
            given[index] = Some(map.next_value_seed(self.constants[index].kind)?);
        }
        let filled = self.fields.iter().zip(self.constants).zip(given).map(|((name, constant), given)| {
            let value =
                given.or_else(|| constant.default.clone()).ok_or_else(|| A::Error::missing_field(name))?;
            Ok((*name, value))
        });
        Ok(Given(filled.collect::<Result<_, _>>()?))
    }
}

impl<'de> DeserializeSeed<'de> for Kind {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Ok(match self {
            Self::Number => f64::deserialize(deserializer)?.into(),
            Self::Integer => i64::deserialize(deserializer)?.into(),
            Self::Bool => bool::deserialize(deserializer)?.into(),
            Self::String => String::deserialize(deserializer)?.into(),
            Self::Range => {
                let Bounds { lo, hi } = Bounds::deserialize(deserializer)?;
                vec![lo, hi].into()
            }
        })
    }
}
