//! Removes the nodes that a program does not need.

use super::{Builder, ControllerDecl, Node, NodeId, Op};

/// Keeps the nodes that a root or signal needs, and renumbers nodes, roots and signals.
pub(crate) fn prune(builder: &mut Builder, controllers: &mut [ControllerDecl], roots: &mut [&mut NodeId]) {
    let count = builder.nodes.len();
    let mut needed = vec![false; count];
    let observed = controllers.iter().flat_map(|of| of.signal.iter().chain(&of.moving)).copied();
    for id in roots.iter().map(|id| **id).chain(observed) {
        needed[id.index()] = true;
    }
    for index in (0..count).rev() {
        if needed[index] {
            for id in builder.nodes[index].op.operands() {
                needed[id.index()] = true;
            }
        }
    }
    let mut renumbered = vec![NodeId(0); count];
    let mut kept: Vec<Node> = Vec::new();
    for (index, mut node) in std::mem::take(&mut builder.nodes).into_iter().enumerate() {
        if needed[index] {
            renumbered[index] = NodeId(kept.len() as u32);
            renumber(&mut node.op, &renumbered);
            kept.push(node);
        }
    }
    builder.nodes = kept;
    for id in roots.iter_mut() {
        **id = renumbered[id.index()];
    }
    for controller in controllers {
        for id in controller.signal.iter_mut().chain(&mut controller.moving) {
            *id = renumbered[id.index()];
        }
    }
}

fn renumber(op: &mut Op, to: &[NodeId]) {
    let set = |id: &mut NodeId| *id = to[id.index()];
    match op {
        Op::Constant(_)
        | Op::Boolean(_)
        | Op::Field(_)
        | Op::LogProb(_)
        | Op::Row(_)
        | Op::Controller(_)
        | Op::Step => {}
        Op::Pooled(x) | Op::Unary(_, x) | Op::Extra { term: x, .. } => set(x),
        Op::Binary(_, a, b) | Op::Quantile(a, b) | Op::TopFraction(a, b) => [a, b].into_iter().for_each(set),
        Op::Where(a, b, c) | Op::Clamp(a, b, c) => [a, b, c].into_iter().for_each(set),
        Op::Term { inputs, rows, moving, .. } => inputs.iter_mut().chain(rows).chain(moving).for_each(set),
        Op::Reduce { operand, inputs, moving, .. } => {
            std::iter::once(operand).chain(inputs).chain(moving).for_each(set);
        }
    }
}
