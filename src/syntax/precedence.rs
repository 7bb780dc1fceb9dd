//! Operator precedence, in one table for the parser and the printer.

use super::ast::{BinaryOp, ExprKind, UnaryOp};

/// Precedence, loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precedence {
    /// `or`
    Or,
    /// `and`
    And,
    /// `not x`
    Not,
    /// `<` and the other comparisons, which are not chained
    Comparison,
    /// `+ -`
    Sum,
    /// `* /`
    Product,
    /// `-x`
    Negation,
    /// `^`, right associative
    Power,
    /// names, numbers, calls, fields and parentheses
    Operand,
}

impl From<BinaryOp> for Precedence {
    fn from(op: BinaryOp) -> Self {
        match op {
            BinaryOp::Or => Precedence::Or,
            BinaryOp::And => Precedence::And,
            BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq | BinaryOp::Ne => {
                Precedence::Comparison
            }
            BinaryOp::Add | BinaryOp::Sub => Precedence::Sum,
            BinaryOp::Mul | BinaryOp::Div => Precedence::Product,
            BinaryOp::Pow => Precedence::Power,
        }
    }
}

impl From<UnaryOp> for Precedence {
    fn from(op: UnaryOp) -> Self {
        match op {
            UnaryOp::Not => Precedence::Not,
            UnaryOp::Neg => Precedence::Negation,
        }
    }
}

impl From<&ExprKind> for Precedence {
    fn from(kind: &ExprKind) -> Self {
        match kind {
            ExprKind::Binary { op, .. } => (*op).into(),
            ExprKind::Unary { op, .. } => (*op).into(),
            _ => Precedence::Operand,
        }
    }
}
