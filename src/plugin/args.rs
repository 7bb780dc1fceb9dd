//! The arguments of a call: checked against the declared parameters, then given to serde.

use super::{Entry, FieldArg, Literal, Parameter, ParameterType, Plugin, Presence};
use crate::diag::Message;
use crate::near::nearest;
use crate::span::Span;
use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// One constant argument with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgNode {
    /// Its name.
    pub name: String,
    /// Name and value in the text.
    pub span: Span,
    /// Its value.
    pub value: ArgSource,
}

/// The value of a constant argument.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgSource {
    /// A number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    String(String),
    /// `a .. b`
    Range(f64, f64),
    /// A batch field.
    Field(FieldArg),
}

/// An argument that serde accepts but the object refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgError {
    /// The argument to blame; empty for the call as a whole.
    pub arg: &'static str,
    /// What was expected and what was found.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The diagnostic id: `argument-value`, or a more specific one.
    pub id: &'static str,
}

impl ArgError {
    /// An error of one argument, or of the whole call when `arg` is empty.
    pub fn new(arg: &'static str, message: impl Into<String>) -> Self {
        Self { arg, message: message.into(), help: None, id: "argument-value" }
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Requires `value` to be within `lo` and `hi`, both included.
    pub fn in_range(arg: &'static str, value: f64, lo: f64, hi: f64) -> Result<(), Self> {
        if lo <= value && value <= hi {
            return Ok(());
        }
        Err(Self::new(arg, format!("expected `{arg}` in {lo} .. {hi}, found {value}")))
    }

    /// Requires `value` to be finite and above zero.
    pub fn positive(arg: &'static str, value: f64) -> Result<(), Self> {
        if value > 0.0 && value.is_finite() {
            return Ok(());
        }
        Err(Self::new(arg, format!("expected a positive `{arg}`, found {value}")))
    }

    /// Requires `value` to be finite and not below zero.
    pub fn non_negative(arg: &'static str, value: f64) -> Result<(), Self> {
        if value >= 0.0 && value.is_finite() {
            return Ok(());
        }
        Err(Self::new(arg, format!("expected `{arg}` of zero or more, found {value}")))
    }
}

/// Why an object could not be made.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildError {
    /// What is wrong.
    pub message: Message,
    /// The index of the argument to blame; `None` for the call as a whole.
    pub arg: Option<usize>,
}

/// Makes an object from constant arguments.
pub(crate) fn build<T: ?Sized + Plugin>(entry: &Entry<T>, args: &[ArgNode]) -> Result<Box<T>, BuildError> {
    let declaration = &entry.declaration;
    for (index, arg) in args.iter().enumerate() {
        let refused = |message| BuildError { message, arg: Some(index) };
        let Some(parameter) = declaration.parameter(&arg.name) else {
            let known = declaration.parameter_names();
            return Err(refused(unknown_argument(declaration.name, &arg.name, known)));
        };
        check(parameter, &arg.value).map_err(refused)?;
    }
    let mut values: Vec<(&'static str, ArgSource)> = Vec::new();
    for parameter in declaration.parameters {
        let given = args.iter().find(|arg| arg.name == parameter.name).map(|arg| arg.value.clone());
        match (given, parameter.presence) {
            (Some(value), _) => values.push((parameter.name, value)),
            (None, Presence::Default(value)) => values.push((parameter.name, value.into())),
            (None, Presence::Optional) => {}
            (None, Presence::Required) => {
                let (callee, name) = (declaration.name, parameter.name);
                let message =
                    Message::new("missing-argument", format!("`{callee}` needs the argument `{name}`"))
                        .help(format!("write `{callee}({name} = ...)`"));
                return Err(BuildError { message, arg: None });
            }
        }
    }
    let arguments = MapDeserializer::<_, ValueError>::new(values.into_iter());
    (entry.build)(&mut <dyn erased_serde::Deserializer>::erase(arguments)).map_err(|error| {
        // The struct refuses a value that its declaration allows.
        let text = format!("`{}`: {error}", declaration.name);
        BuildError { message: Message::new("argument-value", text), arg: None }
    })
}

/// Makes an object from saved arguments. The error is a sentence.
pub(crate) fn restore<T: ?Sized + Plugin>(
    entry: &Entry<T>,
    saved: &Map<String, Value>,
) -> Result<Box<T>, String> {
    let argument = |(name, saved): (&String, &Value)| {
        let value = match saved {
            Value::Null => return None,
            Value::Bool(value) => Some(ArgSource::Bool(*value)),
            Value::Number(value) => value.as_f64().map(ArgSource::Number),
            Value::String(text) => {
                let is_field = |of: &&Parameter| matches!(of.ty, ParameterType::Field(_));
                match entry.declaration.parameter(name).filter(is_field) {
                    Some(_) => FieldArg::parse(text).map(ArgSource::Field),
                    None => Some(ArgSource::String(text.clone())),
                }
            }
            Value::Array(ends) => match ends.as_slice() {
                [lo, hi] => lo.as_f64().zip(hi.as_f64()).map(|(lo, hi)| ArgSource::Range(lo, hi)),
                _ => None,
            },
            Value::Object(_) => None,
        };
        let refused =
            || format!("expected a number, truth value, string or range for `{name}`, found {saved}");
        let node = |value| ArgNode { name: name.clone(), span: Span::default(), value };
        Some(value.map(node).ok_or_else(refused))
    };
    let arguments = saved.iter().filter_map(argument).collect::<Result<Vec<_>, _>>()?;
    build(entry, &arguments).map_err(|error| error.message.text)
}

/// Refuses a value of the wrong type, and a number outside the parameter's limits.
pub(crate) fn check(parameter: &Parameter, value: &ArgSource) -> Result<(), Message> {
    let name = parameter.name;
    let numbers = match (parameter.ty, value) {
        (ParameterType::Number | ParameterType::Range, ArgSource::Number(value)) => vec![*value],
        (ParameterType::Whole, ArgSource::Number(value))
            if value.fract() == 0.0 && value.abs() <= LAST_WHOLE =>
        {
            vec![*value]
        }
        (ParameterType::Range, ArgSource::Range(lo, hi)) => vec![*lo, *hi],
        (ParameterType::Bool, ArgSource::Bool(_)) | (ParameterType::Text, ArgSource::String(_)) => Vec::new(),
        (ParameterType::Field(sorts), ArgSource::Field(field)) if sorts.contains(&field.sort) => Vec::new(),
        (ParameterType::Choice(names), ArgSource::String(text)) => {
            if names.contains(&text.as_str()) {
                return Ok(());
            }
            let text = format!("expected {} for `{name}`, found {text:?}", parameter.ty);
            return Err(with_help(Message::new("argument-value", text), parameter));
        }
        (expected, found) => {
            let limits = parameter.limits.in_words().filter(|_| expected == ParameterType::Whole);
            let expected =
                limits.map_or_else(|| expected.to_string(), |limits| format!("{expected} {limits}"));
            let text = format!("expected {expected} for `{name}`, found {}", in_words(found));
            return Err(Message::new("argument-type", text));
        }
    };
    let Some(wrong) = numbers.iter().find(|value| !value.is_finite() || !parameter.limits.contains(**value))
    else {
        return Ok(());
    };
    let expected = if wrong.is_finite() { parameter.limits.in_words() } else { None };
    let expected =
        expected.map_or_else(|| format!("a finite `{name}`"), |limits| format!("`{name}` {limits}"));
    let found =
        if let ArgSource::Range(lo, hi) = value { format!("{lo} .. {hi}") } else { wrong.to_string() };
    let text = format!("expected {expected}, found {found}");
    Err(with_help(Message::new("argument-value", text), parameter))
}

/// 2⁵³: above it, f64 does not represent every whole number.
const LAST_WHOLE: f64 = 9_007_199_254_740_992.0;

fn with_help(message: Message, parameter: &Parameter) -> Message {
    match parameter.help {
        Some(help) => message.help(help),
        None => message,
    }
}

fn in_words(value: &ArgSource) -> String {
    match value {
        ArgSource::Number(value) => format!("the number {value}"),
        ArgSource::Bool(value) => format!("`{value}`"),
        ArgSource::String(text) => format!("the string {text:?}"),
        ArgSource::Range(lo, hi) => format!("the range {lo} .. {hi}"),
        ArgSource::Field(field) => format!("`{}` of type `{}`", field.name, field.sort),
    }
}

/// The message for an argument that the callee lacks.
pub(crate) fn unknown_argument<'a>(
    callee: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Message {
    let message = Message::new("unknown-argument", format!("`{callee}` has no argument `{name}`"));
    let mut names: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(name, names.iter().copied()) {
        return message.did_you_mean(near);
    }
    names.sort_unstable();
    match names.as_slice() {
        [] => message.help(format!("`{callee}` takes no arguments")),
        [only] => message.help(format!("its one argument is `{only}`")),
        _ => message.help(format!("its arguments are {}", quoted(&names))),
    }
}

pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl From<Literal> for ArgSource {
    fn from(literal: Literal) -> Self {
        match literal {
            Literal::Number(value) => ArgSource::Number(value),
            Literal::Bool(value) => ArgSource::Bool(value),
            Literal::Text(text) => ArgSource::String(text.to_owned()),
            Literal::Range(lo, hi) => ArgSource::Range(lo, hi),
        }
    }
}

impl IntoDeserializer<'_, ValueError> for ArgSource {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for ArgSource {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            // Whole numbers become integers, which serde accepts for float fields too.
            ArgSource::Number(value) if value.fract() == 0.0 && value.abs() <= LAST_WHOLE => {
                visitor.visit_i64(value as i64)
            }
            ArgSource::Number(value) => visitor.visit_f64(value),
            ArgSource::Bool(value) => visitor.visit_bool(value),
            ArgSource::String(value) => visitor.visit_string(value),
            ArgSource::Field(field) => visitor.visit_string(field.to_string()),
            ArgSource::Range(lo, hi) => visitor.visit_seq(SeqDeserializer::new([lo, hi].into_iter())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            ArgSource::String(value) => visitor.visit_enum(value.into_deserializer()),
            _ => Err(ValueError::custom("expected a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}
