//! Constant arguments that move: coefficients and formulas of them. An object must accept all that they can be.

use super::{Checker, Outcome};
use crate::diag::Diagnostic;
use crate::interval::Interval;
use crate::plugin::{ArgNode, ArgSource, Entry, Plugin, build};
use crate::program::{End, Moving, NodeId, Object, Op, fitted, fixed};
use std::collections::BTreeSet;

/// A constant argument whose value is that of a node.
pub(super) struct Moves {
    /// Its place among the constant arguments.
    pub index: usize,
    pub end: Option<End>,
    pub node: NodeId,
    pub formula: String,
}

impl Moves {
    pub(super) fn moving(&self, constants: &[ArgNode]) -> Moving {
        let argument = constants[self.index].name.clone();
        Moving { argument, end: self.end, formula: self.formula.clone() }
    }

    /// Puts a number in its place.
    fn put(&self, constants: &mut [ArgNode], value: f64) {
        let source = &mut constants[self.index].value;
        *source = match (self.end, &source) {
            (Some(End::Low), ArgSource::Range(_, hi)) => ArgSource::Range(value, *hi),
            (Some(End::High), ArgSource::Range(lo, _)) => ArgSource::Range(*lo, value),
            _ => ArgSource::Number(value),
        };
    }
}

/// At most so many coefficients are moved to each of their ends, every one with every other.
const MOST_MOVED: usize = 6;

/// A step that no run comes to.
const LAST_STEP: f64 = 1e15;

impl Checker<'_> {
    /// The value that a node has in the first step, if it holds during a step.
    pub(super) fn fixed(&self, id: NodeId) -> Option<f64> {
        fixed(&self.builder.nodes, id, &self.starts(), 0.0)
    }

    /// The coefficients of the first step.
    pub(super) fn starts(&self) -> Vec<f64> {
        self.controllers.iter().map(|of| of.object.value.start().value).collect()
    }

    /// The object with its moving arguments at the ends of what they can be: with each coefficient at either end of its
    /// interval, and with each argument at either end of its own. What holds there is taken to hold between.
    pub(super) fn corners<T: ?Sized + Plugin>(
        &mut self,
        entry: &'static Entry<T>,
        constants: &[ArgNode],
        moves: &[Moves],
    ) -> Outcome<Vec<Object<T>>> {
        for of in moves {
            let interval = self.builder.node(of.node).interval;
            if !(interval.lo.is_finite() && interval.hi.is_finite()) {
                let (name, span) = (&constants[of.index].name, constants[of.index].span);
                let message = format!("expected bounds for what `{name}` can be, found {interval}");
                return Err(self.report(
                    Diagnostic::error("argument-not-constant", span, message)
                        .help(format!("clamp it: `{name} = clamp({}, 0.1, 0.9)`", of.formula)),
                ));
            }
        }
        let mut corners = Vec::new();
        for values in self.values_at_the_ends(moves) {
            let mut moved = constants.to_vec();
            for (of, value) in moves.iter().zip(values) {
                let parameter = entry.declaration.parameter(&moved[of.index].name);
                of.put(&mut moved, fitted(parameter, value));
            }
            match build(entry, &moved) {
                Ok(value) => corners.push(Object::new(entry, value)),
                Err(error) => {
                    let at = error.arg.unwrap_or(moves[0].index);
                    let moved = moves.iter().filter(|of| of.index == at).map(|of| {
                        format!("`{}` moves within {}", of.formula, self.builder.node(of.node).interval)
                    });
                    let note = moved.collect::<Vec<_>>().join(", ");
                    return Err(self.report(error.message.at(constants[at].span).note(note)));
                }
            }
        }
        Ok(corners)
    }

    /// The values of the arguments at all ends.
    fn values_at_the_ends(&self, moves: &[Moves]) -> Vec<Vec<f64>> {
        let nodes = &self.builder.nodes;
        let (mut leaves, mut open) = (BTreeSet::new(), moves.iter().map(|of| of.node).collect::<Vec<_>>());
        while let Some(id) = open.pop() {
            if matches!(nodes[id.index()].op, Op::Controller(_) | Op::Step) {
                leaves.insert(id);
            }
            open.extend(nodes[id.index()].op.operands());
        }
        let end = |of: Interval, high: bool| if high { of.hi.min(LAST_STEP) } else { of.lo.max(-LAST_STEP) };
        let mut all = Vec::new();
        for corner in 0..1_u32 << leaves.len().min(MOST_MOVED) {
            let (mut coefficients, mut steps) = (self.starts(), 0.0);
            for (bit, leaf) in leaves.iter().take(MOST_MOVED).enumerate() {
                let node = &nodes[leaf.index()];
                let value = end(node.interval, corner >> bit & 1 == 1);
                match node.op {
                    Op::Controller(index) => coefficients[index] = value,
                    _ => steps = value,
                }
            }
            let value = |of: &Moves| fixed(nodes, of.node, &coefficients, steps).unwrap_or(f64::NAN);
            all.push(moves.iter().map(value).collect::<Vec<_>>());
        }
        let starts: Vec<f64> = moves.iter().filter_map(|of| self.fixed(of.node)).collect();
        for (at, of) in moves.iter().enumerate().filter(|(_, of)| of.end.is_none()) {
            let interval = nodes[of.node.index()].interval;
            for value in [interval.lo, interval.hi] {
                let mut values = starts.clone();
                values[at] = value;
                all.push(values);
            }
        }
        if moves.is_empty() { Vec::new() } else { all }
    }
}
