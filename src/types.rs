//! The types of the language and their rules.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How many values there are: one, one per sequence `[B]`, one per token `[B, T]`.
///
/// The order is the direction of broadcasting: `Scalar < Seq < Token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// One value.
    Scalar,
    /// One value per sequence, `[B]`.
    Seq,
    /// One value per token, `[B, T]`.
    Token,
}

impl Shape {
    /// How many dimensions a tensor of this shape has.
    pub fn dimensions(self) -> usize {
        self as usize
    }

    /// Its name in the language.
    pub fn as_str(self) -> &'static str {
        match self {
            Shape::Scalar => "scalar",
            Shape::Seq => "seq",
            Shape::Token => "token",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Real numbers, truth values or ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A floating-point number.
    Real,
    /// True or false.
    Bool,
    /// A whole number that names something, such as a prompt or a turn: no formula computes with it.
    Int,
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Type {
    /// How many values.
    pub shape: Shape,
    /// Of which kind.
    pub kind: Kind,
}

impl Type {
    /// One number.
    pub const SCALAR: Type = Type { shape: Shape::Scalar, kind: Kind::Real };
    /// One number per sequence.
    pub const SEQ: Type = Type { shape: Shape::Seq, kind: Kind::Real };
    /// One number per token.
    pub const TOKEN: Type = Type { shape: Shape::Token, kind: Kind::Real };

    /// The same shape with truth values.
    #[must_use]
    pub const fn to_bool(self) -> Type {
        Type { shape: self.shape, kind: Kind::Bool }
    }

    /// The same shape with ids.
    #[must_use]
    pub const fn to_int(self) -> Type {
        Type { shape: self.shape, kind: Kind::Int }
    }

    /// Whether a value of this type is accepted where `wanted` is expected: same kind, and the shape equal or
    /// broadcast.
    pub fn fits(self, wanted: Type) -> bool {
        self.kind == wanted.kind && self.shape <= wanted.shape
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Real => write!(f, "{}", self.shape),
            Kind::Bool => write!(f, "{} bool", self.shape),
            Kind::Int => write!(f, "{} int", self.shape),
        }
    }
}

/// A batch field that is no value of formulas: terms take it as an argument, and read it through row statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldSort {
    /// `[B, T, K]` int64: token ids listed for each token, padded with -1.
    CandidateIds,
    /// `[B, T, K]`: real values beside such ids.
    Candidates,
    /// `[B, T, V]`: the logits of one more policy to compare with, or hidden states with an output layer in their place.
    Logits,
}

impl FieldSort {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CandidateIds, Self::Candidates, Self::Logits];

    /// As in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CandidateIds => "candidates id",
            Self::Candidates => "candidates",
            Self::Logits => "logits",
        }
    }
}

impl fmt::Display for FieldSort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an `input` statement declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum InputType {
    /// A value of formulas.
    Value(Type),
    /// An argument of terms.
    Field(FieldSort),
}

impl fmt::Display for InputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(ty) => ty.fmt(f),
            Self::Field(sort) => sort.fmt(f),
        }
    }
}

/// The quantity that a number measures, as far as it is known. Units catch formulas with the right shape and the wrong
/// meaning, such as a log-ratio clamped to `0.8 .. 1.2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Not known, or irrelevant.
    #[default]
    Unknown,
    /// A log-probability, in nats.
    LogProb,
    /// A difference of log-probabilities, in nats.
    LogRatio,
    /// A quotient of probabilities.
    Ratio,
    /// A probability.
    Probability,
    /// An entropy, in nats.
    Entropy,
    /// A divergence, in nats.
    Divergence,
    /// Rewards, advantages, returns and values.
    Reward,
}

impl Unit {
    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Unknown => "number",
            Unit::LogProb => "log-probability",
            Unit::LogRatio => "log-ratio",
            Unit::Ratio => "probability ratio",
            Unit::Probability => "probability",
            Unit::Entropy => "entropy",
            Unit::Divergence => "divergence",
            Unit::Reward => "reward",
        }
    }

    /// Its name after `a` or `an`.
    pub fn with_article(self) -> String {
        let article = if self == Unit::Entropy { "an" } else { "a" };
        format!("{article} {self}")
    }

    /// Whether it is on a logarithmic scale.
    pub fn is_logarithmic(self) -> bool {
        matches!(self, Unit::LogProb | Unit::LogRatio)
    }

    /// Whether it is on the scale of probabilities.
    pub fn is_probability_scale(self) -> bool {
        matches!(self, Unit::Ratio | Unit::Probability)
    }
}

/// How well a value suits an expected unit; see [`Unit::suits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suits {
    /// It is that unit, or may be.
    Well,
    /// It is on the same scale and means something else.
    Scale,
    /// It is on another scale.
    Not,
}

impl Unit {
    /// How well a value of this unit suits a place that expects `wanted`. Anything may be a reward.
    pub fn suits(self, wanted: Unit) -> Suits {
        let scale = |unit: Unit| match unit {
            Unit::Ratio | Unit::Probability => 1,
            Unit::Reward => 2,
            _ => 0,
        };
        if self == wanted || matches!(wanted, Unit::Unknown | Unit::Reward) || self == Unit::Unknown {
            Suits::Well
        } else if scale(self) == scale(wanted) {
            Suits::Scale
        } else {
            Suits::Not
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
