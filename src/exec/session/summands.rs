//! The summands that a loss is made of, as far as it is linear in them.

use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use std::collections::{BTreeSet, HashSet};

/// What adds up to the loss: each summand as the chain of nodes from the widest formula that holds no other summand down
/// to the node whose contribution it is. Below a reduction they add up if it is linear, which only their values tell:
/// `deep` looks there.
pub(super) fn summands(program: &Program, deep: bool) -> Vec<Vec<NodeId>> {
    let mut whole = HashSet::new();
    loop {
        let walk = Walk::of(program, deep, &whole);
        let entangled = walk.entangled(program);
        if entangled.is_empty() {
            return walk.summands.iter().map(|summand| walk.chain(*summand)).collect();
        }
        // What is also read in another way is no summand; what it belongs to may be one.
        whole.extend(entangled);
    }
}

#[derive(Default)]
struct Walk {
    summands: BTreeSet<NodeId>,
    /// Operands in which their users are linear.
    linear: HashSet<(NodeId, NodeId)>,
}

impl Walk {
    /// Walks down from the loss; a node that has one of `inseparable` as an operand is a summand as a whole.
    fn of(program: &Program, deep: bool, inseparable: &HashSet<NodeId>) -> Self {
        let mut walk = Self::default();
        let mut open = vec![program.loss];
        while let Some(id) = open.pop() {
            let parts = parts(program, id, deep);
            if parts.is_empty() || parts.iter().any(|part| inseparable.contains(part)) {
                walk.summands.insert(id);
                continue;
            }
            for part in parts {
                walk.linear.insert((id, part));
                open.push(part);
            }
        }
        walk
    }

    /// The nodes that hold this summand and no other, the widest first.
    fn chain(&self, summand: NodeId) -> Vec<NodeId> {
        let mut chain = vec![summand];
        loop {
            let mut users = self.linear.iter().filter(|(_, part)| *part == chain[0]).map(|(user, _)| *user);
            let (Some(user), None) = (users.next(), users.next()) else { return chain };
            if self.linear.iter().filter(|(of, _)| *of == user).count() > 1 {
                return chain;
            }
            chain.insert(0, user);
        }
    }

    /// Summands that the loss reads in other ways too.
    fn entangled(&self, program: &Program) -> Vec<NodeId> {
        let mut reached = HashSet::from([program.loss]);
        let mut open = vec![program.loss];
        let mut entangled = Vec::new();
        while let Some(user) = open.pop() {
            for operand in program.node(user).op.operands() {
                if self.summands.contains(&operand) && !self.linear.contains(&(user, operand)) {
                    entangled.push(operand);
                }
                if reached.insert(operand) {
                    open.push(operand);
                }
            }
        }
        entangled
    }
}

/// The operands that a node adds up, perhaps with coefficients.
fn parts(program: &Program, id: NodeId, deep: bool) -> Vec<NodeId> {
    let carries = |id: &NodeId| program.node(*id).gradient;
    match &program.node(id).op {
        Op::Unary(UnaryFn::Neg, x) => vec![*x],
        Op::Binary(BinaryFn::Add | BinaryFn::Sub, a, b) => vec![*a, *b],
        Op::Binary(BinaryFn::Mul, a, b) if carries(a) && !carries(b) => vec![*a],
        Op::Binary(BinaryFn::Mul, a, b) if carries(b) && !carries(a) => vec![*b],
        Op::Binary(BinaryFn::Div, a, b) if carries(a) && !carries(b) => vec![*a],
        Op::Reduce { operand, .. } if deep => vec![*operand],
        _ => Vec::new(),
    }
}
