//! Operator precedence: turns a flat row of operands and operators into a tree, without recursion.

use super::MAX_HEIGHT;
use super::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use super::precedence::Precedence;
use crate::diag::Diagnostic;
use crate::span::Span;

/// A part of a tree under construction.
pub(super) struct Node {
    /// The tree.
    pub(super) expr: Expr,
    /// Its place, including the parentheses around it.
    pub(super) outer: Span,
    /// How deep its expressions nest.
    pub(super) height: usize,
}

impl Node {
    /// A tree whose highest child has height `below`; an error if it is too high for the passes that recurse over it.
    pub(super) fn new(kind: ExprKind, span: Span, below: usize) -> Result<Self, Box<Diagnostic>> {
        if below >= MAX_HEIGHT {
            let message =
                format!("expected at most {MAX_HEIGHT} operations one inside the other, found more");
            return Err(Box::new(
                Diagnostic::error("expression-too-large", span, message)
                    .help("name parts of it with `let` statements; a long sum nests from the left"),
            ));
        }
        Ok(Self { expr: Expr { kind, span }, outer: span, height: below + 1 })
    }
}

/// The part of the row that is not yet joined into a tree.
#[derive(Default)]
pub(super) struct Row {
    operands: Vec<Node>,
    operators: Vec<(Operator, Span)>,
}

#[derive(Clone, Copy)]
enum Operator {
    Unary(UnaryOp),
    Binary(BinaryOp),
}

impl Operator {
    fn precedence(self) -> Precedence {
        match self {
            Operator::Unary(op) => op.into(),
            Operator::Binary(op) => op.into(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Operator::Unary(op) => op.as_str(),
            Operator::Binary(op) => op.as_str(),
        }
    }
}

impl Row {
    /// Reads an operand.
    pub(super) fn operand(&mut self, node: Node) {
        self.operands.push(node);
    }

    /// Reads a prefix operator.
    pub(super) fn prefix(&mut self, op: UnaryOp, span: Span) -> Result<(), Box<Diagnostic>> {
        if op == UnaryOp::Not
            && let Some((before, _)) = self.operators.last()
            && before.precedence() > Precedence::Not
        {
            let before = before.as_str();
            let message = format!("expected an operand of `{before}`, found `not`, which binds less tightly");
            return Err(Box::new(
                Diagnostic::error("syntax-error", span, message).help("put it in parentheses: `(not x)`"),
            ));
        }
        self.operators.push((Operator::Unary(op), span));
        Ok(())
    }

    /// Reads an operator between two operands.
    pub(super) fn infix(&mut self, op: BinaryOp, span: Span) -> Result<(), Box<Diagnostic>> {
        let precedence = Precedence::from(op);
        while let Some(&(before, before_span)) = self.operators.last() {
            let binds_first = match before.precedence() {
                Precedence::Comparison if precedence == Precedence::Comparison => {
                    return Err(Box::new(self.chained(before.as_str(), before_span, op, span)));
                }
                Precedence::Power => precedence < Precedence::Power,
                before => before >= precedence,
            };
            if !binds_first {
                break;
            }
            self.join()?;
        }
        self.operators.push((Operator::Binary(op), span));
        Ok(())
    }

    /// The tree of the whole row.
    pub(super) fn finish(mut self) -> Result<Node, Box<Diagnostic>> {
        while !self.operators.is_empty() {
            self.join()?;
        }
        Ok(self.take())
    }

    /// Applies the last operator.
    fn join(&mut self) -> Result<(), Box<Diagnostic>> {
        let Some((operator, op_span)) = self.operators.pop() else { return Ok(()) };
        let right = self.take();
        let node = match operator {
            Operator::Unary(op) => {
                let (span, below) = (op_span.to(right.outer), right.height);
                Node::new(ExprKind::Unary { op, operand: Box::new(right.expr) }, span, below)
            }
            Operator::Binary(op) => {
                let left = self.take();
                let (span, below) = (left.outer.to(right.outer), left.height.max(right.height));
                let (left, right) = (Box::new(left.expr), Box::new(right.expr));
                Node::new(ExprKind::Binary { op, op_span, left, right }, span, below)
            }
        };
        self.operands.push(node?);
        Ok(())
    }

    fn take(&mut self) -> Node {
        self.operands.pop().expect("the grammar puts an operand on each side of an operator")
    }

    fn chained(&self, first: &str, first_span: Span, op: BinaryOp, span: Span) -> Diagnostic {
        let second = op.as_str();
        let example = match self.operands.as_slice() {
            [.., left, middle] => {
                let (left, middle) = (left.expr.to_string(), middle.expr.to_string());
                let example = format!("{left} {first} {middle} and {middle} {second} ...");
                (example.len() <= 80).then_some(example)
            }
            _ => None,
        };
        let example = example.unwrap_or_else(|| format!("a {first} b and b {second} c"));
        Diagnostic::error(
            "chained-comparison",
            span,
            format!("comparisons are not chained, found a second, `{second}`"),
        )
        .label(first_span, "the first comparison")
        .help(format!("write `{example}`"))
    }
}
