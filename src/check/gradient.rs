//! Finds where the gradient ends inside a value that has none, for diagnostics that point there.

use crate::plugin::Term;
use crate::program::{Node, NodeId, Object, Op, UnaryFn};
use crate::span::Span;
use std::collections::HashSet;
use std::fmt;

/// The place inside a value without gradient where an operand still has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub span: Span,
    pub cause: Cause,
}

/// What ends a gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The author's `detach`.
    Detach,
    /// An input that its term treats as constant.
    Constant { input: &'static str, term: &'static str },
    /// A flat function or a comparison.
    Flat,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Detach => f.write_str("`detach` ends the gradient here"),
            Cause::Constant { input, term } => {
                write!(f, "`{input}` of `{term}` is a constant for the gradient")
            }
            Cause::Flat => f.write_str("the gradient ends here"),
        }
    }
}

/// The nearest place where gradient ends on its way to the value `root`; `None` if nothing below it has gradient.
pub(super) fn stop(nodes: &[Node], terms: &[Object<dyn Term>], root: NodeId) -> Option<Stop> {
    let carries = |id: &NodeId| nodes[id.index()].gradient;
    let mut seen = HashSet::new();
    let mut open = std::collections::VecDeque::from([root]);
    while let Some(id) = open.pop_front() {
        let node = &nodes[id.index()];
        if node.gradient || !seen.insert(id) {
            continue;
        }
        let operands = node.op.operands();
        if !operands.iter().any(carries) {
            open.extend(operands);
            continue;
        }
        let cause = match &node.op {
            Op::Unary(UnaryFn::Detach, _) => Cause::Detach,
            Op::Term { object, inputs, .. } => {
                let term = &terms[*object];
                let signature = &term.signature;
                let constant = signature.inputs.iter().zip(inputs).find(|(_, id)| carries(id));
                match constant {
                    Some((input, _)) if signature.gradient => {
                        Cause::Constant { input: input.name, term: term.name() }
                    }
                    _ => Cause::Flat,
                }
            }
            _ => Cause::Flat,
        };
        return Some(Stop { span: node.span, cause });
    }
    None
}
