//! The constant arguments of a term in Python: what a function declares, and what a call gives.

use aent::plugin::{Literal, Parameter, ParameterType};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A keyword-only parameter of a function.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Constant {
    name: String,
    kind: Kind,
    default: Option<Value>,
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

    /// The same in the library's words, which live as long as the program. An error names a default of another type.
    pub(crate) fn parameter(self) -> Result<Parameter, String> {
        let ty = match self.kind {
            Kind::Number => ParameterType::Number,
            Kind::Integer => ParameterType::Whole,
            Kind::Bool => ParameterType::Bool,
            Kind::String => ParameterType::Text,
            Kind::Range => ParameterType::Range,
        };
        let parameter = Parameter::new(self.name.leak(), ty, "");
        let Some(default) = self.default else { return Ok(parameter) };
        match literal(ty, &default) {
            Some(value) => Ok(parameter.default(value)),
            None => {
                Err(format!("parameter `{}`: expected {ty} as its default, found {default}", parameter.name))
            }
        }
    }
}

fn literal(ty: ParameterType, value: &Value) -> Option<Literal> {
    Some(match ty {
        ParameterType::Bool => Literal::Bool(value.as_bool()?),
        ParameterType::Text => Literal::Text(value.as_str()?.to_owned().leak()),
        ParameterType::Range => {
            let [lo, hi] = value.as_array()?.as_slice() else { return None };
            Literal::Range(lo.as_f64()?, hi.as_f64()?)
        }
        _ => Literal::Number(value.as_f64()?),
    })
}

/// What a call gives, by name in the order of declaration, each as Python's annotation says: the library hands whole
/// numbers over as integers, and one number for a range.
pub(crate) fn given(parameters: &[Parameter], mut values: Map<String, Value>) -> Vec<(&'static str, Value)> {
    let converted = |parameter: &Parameter| {
        let value = values.remove(parameter.name)?;
        let value = match parameter.ty {
            ParameterType::Number => value.as_f64().map_or(value, Value::from),
            ParameterType::Range => value.as_f64().map_or(value, |both| json!([both, both])),
            _ => value,
        };
        Some((parameter.name, value))
    };
    parameters.iter().filter_map(converted).collect()
}
