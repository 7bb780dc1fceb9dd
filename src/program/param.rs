//! Constants that are known before a program runs and may be set from outside.

use crate::interval::Interval;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A `param` statement and its current value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name; that of a file imported under a name has it in front: `kl.cap`.
    pub name: String,
    /// Its value.
    pub value: ParamValue,
    /// The value written in the file.
    pub default: ParamValue,
    /// What it may be set to.
    pub range: Option<ParamRange>,
    /// The comment above it, without `#`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
}

/// The value of a `param`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// A number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Text(String),
}

/// What a `param` may be set to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamRange {
    /// Numbers, both ends included.
    Interval(Interval),
    /// One of these strings.
    Choices(Vec<String>),
}

impl ParamValue {
    /// The value that a command line means: a number, which may be a percentage, `true` or `false`, or else a string.
    pub fn of_text(text: &str) -> Self {
        let (digits, scale) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
        match (digits.parse::<f64>(), text) {
            (Ok(number), _) => Self::Number(number / scale),
            (Err(_), "true") => Self::Bool(true),
            (Err(_), "false") => Self::Bool(false),
            (Err(_), text) => Self::Text(text.to_owned()),
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// `a number`, `a truth value` or `a string`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Bool(_) => "a truth value",
            Self::Text(_) => "a string",
        }
    }
}

impl ParamRange {
    /// Whether a value is allowed.
    pub fn contains(&self, value: &ParamValue) -> bool {
        match (self, value) {
            (Self::Interval(interval), ParamValue::Number(value)) => interval.contains(*value),
            (Self::Choices(choices), ParamValue::Text(value)) => choices.contains(value),
            _ => false,
        }
    }
}

impl From<f64> for ParamValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<bool> for ParamValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for ParamValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for ParamValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}

impl fmt::Display for ParamRange {
    /// `0 .. 1`, or the choices in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(interval) => interval.fmt(f),
            Self::Choices(choices) => {
                let choices: Vec<_> = choices.iter().map(|choice| format!("{choice:?}")).collect();
                f.write_str(&choices.join(", "))
            }
        }
    }
}
