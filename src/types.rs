//! The types of the language and their laws.

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
    /// The language's word for it.
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

/// Real numbers or truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A floating-point number.
    Real,
    /// True or false.
    Bool,
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

    /// Whether a value of this type may stand where `wanted` is asked for: same kind, and the shape
    /// equal or broadcast.
    pub fn fits(self, wanted: Type) -> bool {
        self.kind == wanted.kind && self.shape <= wanted.shape
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Real => write!(f, "{}", self.shape),
            Kind::Bool => write!(f, "{} bool", self.shape),
        }
    }
}
