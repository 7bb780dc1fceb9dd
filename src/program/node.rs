//! The nodes of a typed program.

use crate::fields::REFERENCE;
use crate::interval::Interval;
use crate::rows::{FieldName, RowStatistic};
use crate::span::Span;
use crate::types::{Type, Unit};
use serde::{Deserialize, Serialize};

/// A node of one program. A node's operands come before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Its place in the order of evaluation.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A value of the program and its static properties.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// How it is computed.
    pub op: Op,
    /// Its type.
    pub ty: Type,
    /// Whether it carries gradient.
    pub gradient: bool,
    /// The values it can take.
    pub interval: Interval,
    /// Its unit.
    pub unit: Unit,
    /// Where it was first written.
    pub span: Span,
}

/// How a value is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A number known before the program runs.
    Constant(f64),
    /// A truth value known before the program runs.
    Boolean(bool),
    /// A batch field.
    Field(String),
    /// The log-probability of the actions: the batch's own, or derived from the logits.
    LogProb(RowStatistic),
    /// A statistic of the rows of logits.
    Row(RowStatistic),
    /// The step's value of a scalar that each part of the step brings: the mean over the parts, weighted by their valid
    /// tokens.
    Pooled(NodeId),
    /// The coefficient of a controller, by its number.
    Controller(usize),
    /// The number of steps before this one.
    Step,
    /// A function of one value.
    Unary(UnaryFn, NodeId),
    /// A function of two values.
    Binary(BinaryFn, NodeId, NodeId),
    /// `where(condition, a, b)`
    Where(NodeId, NodeId, NodeId),
    /// `clamp(x, lo, hi)`
    Clamp(NodeId, NodeId, NodeId),
    /// `quantile(x, q)` over the valid tokens or sequences; `q` holds during a step.
    Quantile(NodeId, NodeId),
    /// `top_fraction(x, p)` over the valid tokens or sequences; `p` holds during a step.
    TopFraction(NodeId, NodeId),
    /// A term's value.
    Term {
        /// The term, by its number among the program's terms.
        object: usize,
        /// Its inputs, in the signature's order.
        inputs: Vec<NodeId>,
        /// The row statistics it asked for.
        rows: Vec<NodeId>,
        /// The values of the term's moving arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moving: Vec<NodeId>,
    },
    /// A further value of a term.
    Extra {
        /// The term's node.
        term: NodeId,
        /// The extra's name.
        name: String,
    },
    /// A reduction.
    Reduce {
        /// The reduction, by its number among the program's reductions.
        object: usize,
        /// The value to reduce.
        operand: NodeId,
        /// Its further inputs, in the signature's order.
        inputs: Vec<NodeId>,
        /// The values of the reduction's moving arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moving: Vec<NodeId>,
    },
}

/// Functions of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum UnaryFn {
    Neg,
    Not,
    Exp,
    Log,
    Sqrt,
    Abs,
    Sign,
    Sigmoid,
    Tanh,
    Softplus,
    Detach,
}

/// Functions of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum BinaryFn {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
}

impl Op {
    /// Whether its value is available without a computation.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(
            self,
            Op::Constant(_)
                | Op::Boolean(_)
                | Op::Controller(_)
                | Op::Step
                | Op::Field(_)
                | Op::LogProb(_)
                | Op::Row(_)
                | Op::Extra { .. }
        )
    }

    /// The batch fields that it reads by name, and the logits that it compares with (which hidden states may replace); not the
    /// policy's logits.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Op::Field(name) => vec![name],
            Op::LogProb(row) => row.divisor.iter().map(|field| field.as_str()).collect(),
            Op::Row(row) => {
                let compares = row.statistic.needs_reference();
                let reference = compares.then(|| row.reference.map_or(REFERENCE.logits, FieldName::as_str));
                let listed = row.listed().into_iter().chain(row.taught().map(|taught| taught.of));
                let named = listed.chain(row.divisor).map(FieldName::as_str);
                reference.into_iter().chain(named).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The nodes this one is computed from.
    pub fn operands(&self) -> Vec<NodeId> {
        match self {
            Op::Constant(_)
            | Op::Boolean(_)
            | Op::Field(_)
            | Op::LogProb(_)
            | Op::Row(_)
            | Op::Controller(_)
            | Op::Step => Vec::new(),
            Op::Pooled(x) | Op::Unary(_, x) | Op::Extra { term: x, .. } => vec![*x],
            Op::Binary(_, a, b) | Op::Quantile(a, b) | Op::TopFraction(a, b) => vec![*a, *b],
            Op::Where(a, b, c) | Op::Clamp(a, b, c) => vec![*a, *b, *c],
            Op::Term { inputs, rows, moving, .. } => {
                inputs.iter().chain(rows).chain(moving).copied().collect()
            }
            Op::Reduce { operand, inputs, moving, .. } => {
                std::iter::once(operand).chain(inputs).chain(moving).copied().collect()
            }
        }
    }
}

impl UnaryFn {
    /// The value for one number.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            UnaryFn::Neg => -x,
            UnaryFn::Not => f64::from(x == 0.0),
            UnaryFn::Exp => x.exp(),
            UnaryFn::Log => x.ln(),
            UnaryFn::Sqrt => x.sqrt(),
            UnaryFn::Abs => x.abs(),
            // As torch's, it is 0 of NaN.
            UnaryFn::Sign if x == 0.0 || x.is_nan() => 0.0,
            UnaryFn::Sign => x.signum(),
            UnaryFn::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            UnaryFn::Tanh => x.tanh(),
            UnaryFn::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            UnaryFn::Detach => x,
        }
    }

    /// The language's name.
    pub fn as_str(self) -> &'static str {
        match self {
            UnaryFn::Neg => "-",
            UnaryFn::Not => "not",
            UnaryFn::Exp => "exp",
            UnaryFn::Log => "log",
            UnaryFn::Sqrt => "sqrt",
            UnaryFn::Abs => "abs",
            UnaryFn::Sign => "sign",
            UnaryFn::Sigmoid => "sigmoid",
            UnaryFn::Tanh => "tanh",
            UnaryFn::Softplus => "softplus",
            UnaryFn::Detach => "detach",
        }
    }
}

impl BinaryFn {
    /// The value for two numbers; truth values are 0 and 1.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            BinaryFn::Add => a + b,
            BinaryFn::Sub => a - b,
            BinaryFn::Mul => a * b,
            BinaryFn::Div => a / b,
            BinaryFn::Pow => a.powf(b),
            // Rust's `min` and `max` ignore a NaN.
            BinaryFn::Min | BinaryFn::Max if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryFn::Min => a.min(b),
            BinaryFn::Max => a.max(b),
            BinaryFn::Lt => f64::from(a < b),
            BinaryFn::Le => f64::from(a <= b),
            BinaryFn::Gt => f64::from(a > b),
            BinaryFn::Ge => f64::from(a >= b),
            #[expect(clippy::float_cmp, reason = "`==` in the language is exact")]
            BinaryFn::Eq => f64::from(a == b),
            #[expect(clippy::float_cmp, reason = "`!=` in the language is exact")]
            BinaryFn::Ne => f64::from(a != b),
            BinaryFn::And => f64::from(a != 0.0 && b != 0.0),
            BinaryFn::Or => f64::from(a != 0.0 || b != 0.0),
        }
    }

    /// `clamp(x, lo, hi)` of numbers.
    pub(crate) fn clamp(x: f64, lo: f64, hi: f64) -> f64 {
        Self::Min.apply(Self::Max.apply(x, lo), hi)
    }

    /// The language's operator or name.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryFn::Add => "+",
            BinaryFn::Sub => "-",
            BinaryFn::Mul => "*",
            BinaryFn::Div => "/",
            BinaryFn::Pow => "^",
            BinaryFn::Min => "min",
            BinaryFn::Max => "max",
            BinaryFn::Lt => "<",
            BinaryFn::Le => "<=",
            BinaryFn::Gt => ">",
            BinaryFn::Ge => ">=",
            BinaryFn::Eq => "==",
            BinaryFn::Ne => "!=",
            BinaryFn::And => "and",
            BinaryFn::Or => "or",
        }
    }

    /// Whether the result is a truth value.
    pub fn is_bool(self) -> bool {
        self.is_comparison() || matches!(self, BinaryFn::And | BinaryFn::Or)
    }

    /// Whether it compares two numbers.
    pub fn is_comparison(self) -> bool {
        use BinaryFn::{Eq, Ge, Gt, Le, Lt, Ne};
        matches!(self, Lt | Le | Gt | Ge | Eq | Ne)
    }
}
