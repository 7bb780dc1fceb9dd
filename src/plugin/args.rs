//! The arguments of a call as a serde deserializer that remembers which argument it stood at.

use super::entry::Build;
use crate::diag::Message;
use crate::near::nearest;
use crate::span::Span;
use serde::de::value::{Error as ValueError, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::cell::{Cell, RefCell};

/// One constant argument with its place.
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
}

/// An argument that serde accepts and the object does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgError {
    /// The argument to blame; empty for the call as a whole.
    pub arg: &'static str,
    /// What was expected and what came.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// A diagnostic id of its own, if `argument-value` is too general.
    pub id: &'static str,
}

impl ArgError {
    /// An error of one argument, or of the whole call when `arg` is empty.
    pub fn new(arg: &'static str, message: impl Into<String>) -> Self {
        Self { arg, message: message.into(), help: None, id: "argument-value" }
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Requires a number of `arg` to lie in a range, both ends included.
    pub fn in_range(arg: &'static str, value: f64, lo: f64, hi: f64) -> Result<(), Self> {
        if lo <= value && value <= hi {
            return Ok(());
        }
        Err(Self::new(arg, format!("expected `{arg}` in {lo} .. {hi}, found {value}")))
    }

    /// Requires a number of `arg` to be finite and above zero.
    pub fn positive(arg: &'static str, value: f64) -> Result<(), Self> {
        if value > 0.0 && value.is_finite() {
            return Ok(());
        }
        Err(Self::new(arg, format!("expected a positive `{arg}`, found {value}")))
    }

    /// Requires a number of `arg` to be finite and not below zero.
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
    /// Which argument is to blame, by its number; none for the call as a whole.
    pub arg: Option<usize>,
}

/// Makes an object from constant arguments.
pub(crate) fn build<T: ?Sized>(
    build: Build<T>,
    callee: &str,
    args: &[ArgNode],
) -> Result<Box<T>, BuildError> {
    let state = Arguments { args, touched: Cell::new(None), fields: RefCell::new(None) };
    let result = build(&mut <dyn erased_serde::Deserializer>::erase(&state));
    let fields = state.fields.take();
    if let Some(fields) = fields
        && let Some(index) = args.iter().position(|arg| !fields.contains(&arg.name.as_str()))
    {
        return Err(BuildError {
            message: unknown_argument(callee, &args[index].name, fields),
            arg: Some(index),
        });
    }
    result.map_err(|error| explain(callee, &error.to_string(), state.touched.get(), args))
}

/// The message for an argument that the callee does not have.
pub(crate) fn unknown_argument<'a>(
    callee: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a &'a str> + Clone,
) -> Message {
    let message = Message::new("unknown-argument", format!("`{callee}` has no argument `{name}`"));
    let mut names: Vec<&str> = known.into_iter().copied().collect();
    if let Some(near) = nearest(name, names.iter().copied()) {
        return message.help(format!("did you mean `{near}`?"));
    }
    if names.is_empty() {
        return message.help(format!("`{callee}` takes no arguments"));
    }
    names.sort_unstable();
    message.help(format!("its arguments are {}", quoted(&names)))
}

pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Serde's errors cross the erased wall as text; their kinds are told by how that text begins.
fn explain(callee: &str, text: &str, touched: Option<usize>, args: &[ArgNode]) -> BuildError {
    let between = |prefix: &str| text.strip_prefix(prefix)?.split('`').next().map(str::to_owned);
    if let Some(field) = between("missing field `") {
        let message = Message::new("missing-argument", format!("`{callee}` needs the argument `{field}`"))
            .help(format!("write `{callee}({field} = ...)`"));
        return BuildError { message, arg: None };
    }
    if let Some(field) = between("unknown field `") {
        let index = args.iter().position(|arg| arg.name == field);
        let message = Message::new("unknown-argument", format!("`{callee}` has no argument `{field}`"));
        return BuildError { message, arg: index.or(touched) };
    }
    let name = touched.map_or(callee, |index| args[index].name.as_str());
    let message = if let Some(rest) = text.strip_prefix("invalid type: ") {
        let (found, expected) = rest.split_once(", expected ").unwrap_or((rest, "another value"));
        let expected = match expected {
            "f64" | "f32" => "a number",
            "i64" | "i32" | "isize" => "a whole number",
            "u64" | "u32" | "usize" => "a whole number of zero or more",
            "string or map" | "a string" | "str" => "a string",
            other => other,
        };
        let found = match found {
            "sequence" => "a range".to_owned(),
            other => other.replace("floating point ", "number ").replace("integer ", "number "),
        };
        Message::new("argument-type", format!("expected {expected} for `{name}`, found {found}"))
    } else if let Some(rest) = text.strip_prefix("unknown variant ") {
        let (found, expected) = rest.split_once(", expected ").unwrap_or((rest, "another value"));
        let expected = expected.replace('`', "\"");
        Message::new(
            "argument-value",
            format!("expected {expected} for `{name}`, found {}", found.replace('`', "\"")),
        )
    } else {
        Message::new("argument-value", format!("`{name}`: {text}"))
    };
    BuildError { message, arg: touched }
}

struct Arguments<'a> {
    args: &'a [ArgNode],
    touched: Cell<Option<usize>>,
    fields: RefCell<Option<&'static [&'static str]>>,
}

impl<'de> Deserializer<'de> for &Arguments<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(Entries { of: self, next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.fields.replace(Some(fields));
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.fields.replace(Some(&[]));
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a, 'b> {
    of: &'a Arguments<'b>,
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some(arg) = self.of.args.get(self.next) else {
            self.of.touched.set(None);
            return Ok(None);
        };
        self.of.touched.set(Some(self.next));
        seed.deserialize(arg.name.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let arg = &self.of.args[self.next];
        self.next += 1;
        seed.deserialize(&arg.value)
    }
}

impl<'de> Deserializer<'de> for &ArgSource {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            // Whole numbers are offered as integers, which serde lets a float field take too.
            ArgSource::Number(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                visitor.visit_i64(*value as i64)
            }
            ArgSource::Number(value) => visitor.visit_f64(*value),
            ArgSource::Bool(value) => visitor.visit_bool(*value),
            ArgSource::String(value) => visitor.visit_str(value),
            ArgSource::Range(lo, hi) => visitor.visit_seq(SeqDeserializer::new([*lo, *hi].into_iter())),
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
            ArgSource::String(value) => visitor.visit_enum(value.as_str().into_deserializer()),
            _ => Err(ValueError::custom("invalid type: not a string, expected a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The names of an entry's constant arguments, unless serde does not tell them (a flattened struct).
pub(crate) fn field_names<T: ?Sized>(build: Build<T>) -> Option<&'static [&'static str]> {
    let state = Arguments { args: &[], touched: Cell::new(None), fields: RefCell::new(None) };
    // Whether an object comes out is of no interest: the names are told before any value is read.
    let _ = build(&mut <dyn erased_serde::Deserializer>::erase(&state));
    state.fields.take()
}
