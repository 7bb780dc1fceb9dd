//! How the values of a program on a part of a step relate to those of the whole step.

use crate::plugin::{Count, Reach};
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::types::Shape;
use std::collections::BTreeSet;

/// How a value on a part of a step relates to the whole step's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The same for every part, such as a constant, a coefficient or a scalar field.
    Fixed,
    /// One value per token or sequence of the part.
    Local,
    /// A scalar whose values on the parts add up to the whole step's.
    Partial,
    /// Known only from the whole step.
    Whole,
}

/// The share of a node, whose operands have theirs. Groups by the fields in `groups` are whole in each part.
pub(super) fn share(program: &Program, shares: &[Share], index: usize, groups: &BTreeSet<String>) -> Share {
    let node = &program.nodes[index];
    let of = |id: &NodeId| shares[id.index()];
    if spans(program, shares, index) {
        return match grouped(program, index) {
            Some(Grouped { field, counts }) if groups.contains(field) => {
                if counts {
                    Share::Fixed
                } else {
                    Share::Local
                }
            }
            _ => Share::Whole,
        };
    }
    let operands = node.op.operands();
    let partial = operands.iter().any(|id| of(id) == Share::Partial);
    match &node.op {
        Op::Constant(_) | Op::Boolean(_) | Op::Controller(_) | Op::Step => Share::Fixed,
        Op::Pooled(_) => Share::Partial,
        // A scalar that carries gradient is the model's, and each part brings its own.
        Op::Field(_) if node.ty.shape == Shape::Scalar && !node.gradient => Share::Fixed,
        Op::Field(_) | Op::LogProb(_) | Op::Row(_) => Share::Local,
        // Whole-step values are known when a part is computed, so values computed from them are local again.
        Op::Reduce { object, .. } if !partial => {
            let signature = &program.reductions[*object].signature;
            if signature.reach == Reach::Batch { Share::Partial } else { Share::Local }
        }
        Op::Unary(UnaryFn::Neg | UnaryFn::Detach, x) if partial => of(x),
        Op::Binary(BinaryFn::Add | BinaryFn::Sub, a, b)
            if of(a) == Share::Partial && of(b) == Share::Partial =>
        {
            Share::Partial
        }
        Op::Binary(BinaryFn::Mul, a, b) if partial && known_in_advance(program, shares, *a, *b) => {
            Share::Partial
        }
        Op::Binary(BinaryFn::Div, a, b) if of(a) == Share::Partial && known(program, shares, *b) => {
            Share::Partial
        }
        _ if partial => Share::Whole,
        // A scalar computed from whole-step values is one itself.
        _ if node.ty.shape == Shape::Scalar => {
            if operands.iter().any(|id| of(id) == Share::Whole) {
                Share::Whole
            } else {
                Share::Fixed
            }
        }
        _ => Share::Local,
    }
}

/// Whether a value depends on more sequences than its own, and is no sum over them.
pub(super) fn spans(program: &Program, shares: &[Share], index: usize) -> bool {
    match &program.nodes[index].op {
        Op::Quantile(..) | Op::TopFraction(..) => true,
        Op::Term { object, .. } => program.terms[*object].signature.reach >= Reach::Group,
        // An extra is computed with its term.
        Op::Extra { term, .. } => shares[term.index()] == Share::Whole,
        Op::Reduce { object, .. } => {
            let signature = &program.reductions[*object].signature;
            signature.reach >= Reach::Group && !(signature.additive && signature.to.shape == Shape::Scalar)
        }
        _ => false,
    }
}

/// What a value looks at that looks no further than a group.
pub(crate) struct Grouped<'a> {
    /// The field that tells groups apart.
    pub(crate) field: &'a str,
    /// Whether the value is the number of groups.
    pub(crate) counts: bool,
}

/// How a value looks at groups, if it does.
pub(crate) fn grouped(program: &Program, index: usize) -> Option<Grouped<'_>> {
    let (reach, counts, declared, inputs) = match &program.nodes[index].op {
        Op::Term { object, inputs, .. } => {
            let signature = &program.terms[*object].signature;
            (signature.reach, &signature.counts, &signature.inputs, inputs)
        }
        Op::Reduce { object, inputs, .. } => {
            let signature = &program.reductions[*object].signature;
            (signature.reach, &signature.counts, &signature.inputs, inputs)
        }
        Op::Extra { term, .. } => return grouped(program, term.index()),
        _ => return None,
    };
    if reach != Reach::Group {
        return None;
    }
    let (_, id) = declared.iter().zip(inputs).find(|(input, _)| input.name == "group")?;
    match &program.node(*id).op {
        Op::Field(field) => Some(Grouped { field, counts: counts.contains(&Count::Groups) }),
        _ => None,
    }
}

/// Whether a scalar factor is the same in every part.
fn known(program: &Program, shares: &[Share], id: NodeId) -> bool {
    let node = program.node(id);
    node.ty.shape == Shape::Scalar
        && !node.gradient
        && matches!(shares[id.index()], Share::Fixed | Share::Whole)
}

fn known_in_advance(program: &Program, shares: &[Share], a: NodeId, b: NodeId) -> bool {
    let partial = |id: NodeId| shares[id.index()] == Share::Partial;
    partial(a) && known(program, shares, b) || partial(b) && known(program, shares, a)
}
