//! A declared parameter: its name, type, default, limits and documentation.

use super::Bounds;
use crate::types::{FieldSort, Unit};
use serde_json::Value;
use std::fmt;

/// A constant argument that a call gives by name.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// The type of an argument.
    pub ty: ParameterType,
    /// Whether a call must give it.
    pub presence: Presence,
    /// The limits of a number, or of both ends of a range.
    pub limits: Limits,
    /// Its unit.
    pub unit: Unit,
    /// One line of documentation.
    pub docs: &'static str,
    /// What to write instead of a refused value.
    pub help: Option<&'static str>,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterType {
    /// A finite number.
    Number,
    /// A whole number.
    Whole,
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
    /// `a .. b`, or one number for both ends.
    Range,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// The name of a batch field that the file declares as one of these.
    Field(&'static [FieldSort]),
}

/// Whether a call must give a parameter, and its value if the call does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence {
    /// Every call must give it.
    Required,
    /// A call may leave it out; the entry decides what that means.
    Optional,
    /// The value if a call leaves it out.
    Default(Literal),
}

/// A value as written in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    /// A number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Text(&'static str),
    /// `a .. b`
    Range(f64, f64),
}

/// The range of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The lower end.
    pub lo: Limit,
    /// The upper end.
    pub hi: Limit,
}

/// One end of [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// No end.
    None,
    /// The number itself is allowed.
    Included(f64),
    /// The number itself is not.
    Excluded(f64),
}

/// A type that a field of an entry's struct can have.
pub trait Argument {
    /// The type of an argument.
    const TYPE: ParameterType;
    /// The limits of the type itself.
    const LIMITS: Limits = Limits::NONE;
    /// Whether a call must give a field without a default.
    const PRESENCE: Presence = Presence::Required;
}

impl Argument for f64 {
    const TYPE: ParameterType = ParameterType::Number;
}

impl Argument for i64 {
    const TYPE: ParameterType = ParameterType::Whole;
}

impl Argument for u64 {
    const TYPE: ParameterType = ParameterType::Whole;
    const LIMITS: Limits = Limits { lo: Limit::Included(0.0), hi: Limit::None };
}

impl Argument for u32 {
    const TYPE: ParameterType = ParameterType::Whole;
    const LIMITS: Limits = Limits { lo: Limit::Included(0.0), hi: Limit::Included(u32::MAX as f64) };
}

impl Argument for bool {
    const TYPE: ParameterType = ParameterType::Bool;
}

impl Argument for String {
    const TYPE: ParameterType = ParameterType::Text;
}

impl Argument for Bounds {
    const TYPE: ParameterType = ParameterType::Range;
}

impl<T: Argument> Argument for Option<T> {
    const TYPE: ParameterType = T::TYPE;
    const LIMITS: Limits = T::LIMITS;
    const PRESENCE: Presence = Presence::Optional;
}

impl Parameter {
    /// A parameter of a Rust type.
    pub const fn of<T: Argument>(name: &'static str, docs: &'static str) -> Self {
        Self::new(name, T::TYPE, docs).limits(T::LIMITS).presence(T::PRESENCE)
    }

    /// A parameter that every call must give.
    pub const fn new(name: &'static str, ty: ParameterType, docs: &'static str) -> Self {
        Self {
            name,
            ty,
            presence: Presence::Required,
            limits: Limits::NONE,
            unit: Unit::Unknown,
            docs,
            help: None,
        }
    }

    /// Sets whether a call must give it.
    #[must_use]
    pub const fn presence(mut self, presence: Presence) -> Self {
        self.presence = presence;
        self
    }

    /// Sets its default.
    #[must_use]
    pub const fn default(self, value: Literal) -> Self {
        self.presence(Presence::Default(value))
    }

    /// Sets its limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets its least number.
    #[must_use]
    pub const fn min(mut self, value: f64) -> Self {
        self.limits.lo = Limit::Included(value);
        self
    }

    /// Sets its greatest number.
    #[must_use]
    pub const fn max(mut self, value: f64) -> Self {
        self.limits.hi = Limit::Included(value);
        self
    }

    /// Sets an exclusive lower limit.
    #[must_use]
    pub const fn above(mut self, value: f64) -> Self {
        self.limits.lo = Limit::Excluded(value);
        self
    }

    /// Sets an exclusive upper limit.
    #[must_use]
    pub const fn below(mut self, value: f64) -> Self {
        self.limits.hi = Limit::Excluded(value);
        self
    }

    /// Sets its unit.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Sets what to write instead of a refused value.
    #[must_use]
    pub const fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }

    /// Its default, if it has one.
    pub fn default_value(&self) -> Option<Literal> {
        match self.presence {
            Presence::Default(value) => Some(value),
            Presence::Required | Presence::Optional => None,
        }
    }
}

impl Limits {
    /// Every number.
    pub const NONE: Self = Self { lo: Limit::None, hi: Limit::None };

    /// Whether a number is allowed.
    pub fn contains(self, value: f64) -> bool {
        let above = match self.lo {
            Limit::None => true,
            Limit::Included(lo) => value >= lo,
            Limit::Excluded(lo) => value > lo,
        };
        let below = match self.hi {
            Limit::None => true,
            Limit::Included(hi) => value <= hi,
            Limit::Excluded(hi) => value < hi,
        };
        above && below
    }

    /// The limits in words that follow a name: `in 0 .. 1`, `above 1`, `of zero or more`. `None` without limits.
    pub fn in_words(self) -> Option<String> {
        let lo = match self.lo {
            Limit::None => None,
            Limit::Included(lo) => Some(format!("of at least {lo}")),
            Limit::Excluded(lo) => Some(format!("above {lo}")),
        };
        match (self.lo, self.hi, lo) {
            (Limit::Included(lo), Limit::Included(hi), _) => Some(format!("in {lo} .. {hi}")),
            (Limit::Included(0.0), Limit::None, _) => Some("of zero or more".to_owned()),
            (_, Limit::None, lo) => lo,
            (_, Limit::Included(hi), Some(lo)) => Some(format!("{lo} and at most {hi}")),
            (_, Limit::Excluded(hi), Some(lo)) => Some(format!("{lo} and below {hi}")),
            (_, Limit::Included(hi), None) => Some(format!("of at most {hi}")),
            (_, Limit::Excluded(hi), None) => Some(format!("below {hi}")),
        }
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterType::Number => f.write_str("a number"),
            ParameterType::Whole => f.write_str("a whole number"),
            ParameterType::Bool => f.write_str("`true` or `false`"),
            ParameterType::Text => f.write_str("a string"),
            ParameterType::Range => f.write_str("a range `a .. b` or one number"),
            ParameterType::Field(sorts) => {
                let names: Vec<String> = sorts.iter().map(|sort| format!("`{sort}`")).collect();
                write!(f, "an `input` of type {}", names.join(" or "))
            }
            ParameterType::Choice(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                match names.as_slice() {
                    [one] => f.write_str(one),
                    [one, other] => write!(f, "{one} or {other}"),
                    _ => write!(f, "one of {}", names.join(", ")),
                }
            }
        }
    }
}

impl Literal {
    /// Whether a saved argument has this value.
    pub fn equals(self, saved: &Value) -> bool {
        let same = |value: f64, saved: &Value| saved.as_f64() == Some(value);
        match self {
            Literal::Number(value) => same(value, saved),
            Literal::Bool(value) => saved.as_bool() == Some(value),
            Literal::Text(text) => saved.as_str() == Some(text),
            Literal::Range(lo, hi) => match saved.as_array().map(Vec::as_slice) {
                Some([low, high]) => same(lo, low) && same(hi, high),
                _ => false,
            },
        }
    }
}

/// As written in a file.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Literal::Number(value) => write_number(f, value),
            Literal::Bool(value) => value.fmt(f),
            Literal::Text(text) => write!(f, "{text:?}"),
            Literal::Range(lo, hi) => {
                write_number(f, lo)?;
                f.write_str(" .. ")?;
                write_number(f, hi)
            }
        }
    }
}

fn write_number(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    if value != 0.0 && value.abs() < 1e-3 { write!(f, "{value:e}") } else { write!(f, "{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_they_are_checked() {
        let of = Parameter::new("x", ParameterType::Number, "");
        for (parameter, words, within, without) in [
            (of.min(0.0).max(1.0), "in 0 .. 1", [0.0, 1.0], [-0.1, 1.1]),
            (of.min(0.0), "of zero or more", [0.0, 9.0], [-0.1, f64::NAN]),
            (of.min(1.0), "of at least 1", [1.0, 9.0], [0.9, f64::NAN]),
            (of.above(0.0), "above 0", [0.1, 9.0], [0.0, -1.0]),
            (of.min(0.0).below(1.0), "of at least 0 and below 1", [0.0, 0.9], [-0.1, 1.0]),
            (of.above(0.0).max(1.0), "above 0 and at most 1", [0.1, 1.0], [0.0, 1.1]),
            (of.max(2.0), "of at most 2", [-9.0, 2.0], [2.1, f64::NAN]),
            (of.below(2.0), "below 2", [-9.0, 1.9], [2.0, f64::NAN]),
        ] {
            assert_eq!(parameter.limits.in_words().as_deref(), Some(words));
            assert!(within.iter().all(|value| parameter.limits.contains(*value)), "{words}");
            assert!(!without.iter().any(|value| parameter.limits.contains(*value)), "{words}");
        }
        assert_eq!(of.limits.in_words(), None);
    }

    #[test]
    fn values_are_written_as_in_a_file() {
        assert_eq!(Literal::Range(1e-5, 0.01).to_string(), "1e-5 .. 0.01");
        assert_eq!(Literal::Number(20.0).to_string(), "20");
        assert_eq!(Literal::Text("k3").to_string(), "\"k3\"");
    }

    #[test]
    fn an_option_is_off_and_has_the_limits_of_its_type() {
        let of = Parameter::of::<Option<u64>>("k", "");
        assert_eq!((of.ty, of.presence), (ParameterType::Whole, Presence::Optional));
        assert!(!of.limits.contains(-1.0));
    }
}
