//! What arguments an entry takes and what their defaults are, found out by building it.

use super::args::{ArgNode, ArgSource, build};
use super::{AnyEntry, BuildError};
use crate::span::Span;
use serde_json::Value;

/// One constant argument of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its default, none where a call must give it.
    pub default: Option<Value>,
}

/// The constant arguments of an entry in declaration order. Inputs, which are tensors, are not among them.
pub fn parameters(entry: AnyEntry) -> Vec<Parameter> {
    let mut given: Vec<ArgNode> = Vec::new();
    // Each round either succeeds or learns one more required argument or a better value for the last one.
    for _ in 0..64 {
        match serialized(entry, &given) {
            Ok(Value::Object(fields)) => {
                let required = |name: &str| given.iter().any(|arg| arg.name == name);
                return fields
                    .into_iter()
                    .map(|(name, value)| Parameter { default: (!required(&name)).then_some(value), name })
                    .collect();
            }
            Ok(_) => return Vec::new(),
            Err(error) => match missing(&error) {
                Some(name) => {
                    given.push(ArgNode { name, span: Span::default(), value: ArgSource::Number(0.5) });
                }
                None => match given.last_mut() {
                    Some(last) => last.value = another(&last.value, &error),
                    None => return Vec::new(),
                },
            },
        }
    }
    Vec::new()
}

fn serialized(entry: AnyEntry, args: &[ArgNode]) -> Result<Value, BuildError> {
    let name = entry.info().name;
    let value = match entry {
        AnyEntry::Term(entry) => serde_json::to_value(build(entry.build, name, args)?.as_ref()),
        AnyEntry::Reduction(entry) => serde_json::to_value(build(entry.build, name, args)?.as_ref()),
        AnyEntry::Controller(entry) => serde_json::to_value(build(entry.build, name, args)?.as_ref()),
    };
    Ok(value.unwrap_or(Value::Null))
}

fn missing(error: &BuildError) -> Option<String> {
    let rest = error.message.text.split_once("needs the argument `")?.1;
    (error.message.id == "missing-argument").then(|| rest.trim_end_matches('`').to_owned())
}

/// The next guess for an argument whose type is not known.
fn another(tried: &ArgSource, error: &BuildError) -> ArgSource {
    match tried {
        ArgSource::Number(value) if value.fract() != 0.0 => ArgSource::Number(1.0),
        ArgSource::Number(_) => ArgSource::Range(0.0, 1.0),
        ArgSource::Range(..) => ArgSource::Bool(true),
        ArgSource::Bool(_) => ArgSource::String(String::new()),
        // An enum names its variants in its refusal.
        ArgSource::String(_) => {
            ArgSource::String(error.message.text.split('"').nth(1).unwrap_or("text").to_owned())
        }
    }
}
