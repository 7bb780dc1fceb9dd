//! Lints for programs that run but probably do not do what their authors want.

use super::gradient::{Cause, stop};
use crate::diag::{Diagnostic, Diagnostics};
use crate::interval::Interval;
use crate::plugin::Scale;
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::span::Span;
use crate::types::{Shape, Unit};
use std::collections::{BTreeSet, HashSet};

/// Runs all lints on a loss.
pub(super) fn run(program: &Program, loss: Span, found: &mut Diagnostics) {
    let mut walk = Walk { program, loss, found, seen: HashSet::new() };
    walk.addends(program.loss, Interval::point(1.0));
    walk.weights();
    gradient_misses_policy(program, loss, found);
}

struct Walk<'a> {
    program: &'a Program,
    /// The statement of the loss.
    loss: Span,
    found: &'a mut Diagnostics,
    seen: HashSet<(NodeId, u64, u64)>,
}

impl Walk<'_> {
    /// Visits the addends of a loss, each with the interval of its coefficient.
    fn addends(&mut self, root: NodeId, coefficient: Interval) {
        let mut open = vec![(root, coefficient, None)];
        while let Some((id, coefficient, place)) = open.pop() {
            if !self.seen.insert((id, coefficient.lo.to_bits(), coefficient.hi.to_bits())) {
                continue;
            }
            let node = self.program.node(id);
            // A named or shared value was written elsewhere; point to its use in the loss, which decides its sign.
            let place = if self.in_loss(node.span) { Some(node.span) } else { place };
            if !node.gradient {
                // A loss without any gradient is reported as a whole elsewhere.
                if id != self.program.loss {
                    self.trains_nothing(id, place.unwrap_or(node.span));
                }
                continue;
            }
            self.entropy_sign(id, coefficient, place.unwrap_or(node.span));
            match &node.op {
                Op::Unary(UnaryFn::Neg, x) => open.push((*x, -coefficient, place)),
                Op::Binary(BinaryFn::Add, a, b) => {
                    open.extend([(*a, coefficient, place), (*b, coefficient, place)]);
                }
                Op::Binary(BinaryFn::Sub, a, b) => {
                    open.extend([(*a, coefficient, place), (*b, -coefficient, place)]);
                }
                Op::Binary(BinaryFn::Mul, a, b) => {
                    for (factor, value) in [(*a, *b), (*b, *a)] {
                        let factor = self.program.node(factor);
                        if !factor.gradient {
                            open.push((value, coefficient * factor.interval, place));
                        }
                    }
                }
                Op::Binary(BinaryFn::Div, a, b) if self.fixed_in_a_step(*b) => {
                    open.push((*a, coefficient * self.program.node(*b).interval.recip(), place));
                }
                Op::Reduce { object, operand, .. } => {
                    self.extensive(*object, place.unwrap_or(node.span));
                    open.push((*operand, coefficient, place));
                }
                _ => {}
            }
        }
    }

    fn in_loss(&self, span: Span) -> bool {
        span.source == self.loss.source && self.loss.start <= span.start && span.end <= self.loss.end
    }

    /// Whether a divisor does not depend on the batch.
    fn fixed_in_a_step(&self, id: NodeId) -> bool {
        match &self.program.node(id).op {
            Op::Constant(_) | Op::Controller(_) => true,
            Op::Unary(_, x) => self.fixed_in_a_step(*x),
            Op::Binary(_, a, b) => self.fixed_in_a_step(*a) && self.fixed_in_a_step(*b),
            _ => false,
        }
    }

    /// Reports an addend of a trained loss that carries no gradient. A constant summand or a `detach` is the author's
    /// choice. Below a reduction, a shift by a batch field is part of many formulas, so only fields that the file
    /// itself declares are suspicious there.
    fn trains_nothing(&mut self, id: NodeId, place: Span) {
        let program = self.program;
        let node = program.node(id);
        let below = descendants(program, id);
        let declared = |id: &NodeId| match &program.node(*id).op {
            Op::Field(name) => program.inputs.iter().any(|input| input.name == *name),
            _ => false,
        };
        let read = |id: &NodeId| matches!(program.node(*id).op, Op::Field(_) | Op::LogProb(_) | Op::Row(_));
        let suspicious = if node.ty.shape == Shape::Scalar {
            below.iter().any(read)
        } else {
            below.iter().all(|id| !read(id) || declared(id)) && below.iter().any(declared)
        };
        if !suspicious {
            return;
        }
        match stop(&program.nodes, &program.terms, id) {
            Some(of) if matches!(of.cause, Cause::Constant { .. }) => self.found.push(
                Diagnostic::error("no-gradient", place, "expected a summand that training can change, found one without gradient")
                    .label(of.span, of.cause.to_string())
                    .help("give it to the argument that is trained; to report a number, use `metric`"),
            ),
            Some(_) => {}
            None => self.found.push(
                Diagnostic::warning("addend-without-gradient", place, "this summand moves the value of the loss and trains nothing")
                    .help("to report a number, use `metric`; if the shift is meant, silence this with `# aent: allow(addend-without-gradient)`"),
            ),
        }
    }

    fn entropy_sign(&mut self, id: NodeId, coefficient: Interval, place: Span) {
        let node = self.program.node(id);
        let is_entropy = matches!(node.op, Op::Term { .. } | Op::Row(_)) && node.unit == Unit::Entropy;
        if is_entropy && coefficient.lo >= 0.0 && coefficient.hi > 0.0 {
            let mut diagnostic = Diagnostic::warning(
                "entropy-sign",
                place,
                "this loss falls as the entropy falls: the bonus is a penalty",
            )
            .help("a loss is minimised, so a bonus is subtracted: `- beta * token_mean(entropy)`");
            if !self.in_loss(node.span) {
                diagnostic = diagnostic.label(node.span, "the entropy is this");
            }
            self.found.push(diagnostic);
        }
    }

    fn extensive(&mut self, object: usize, place: Span) {
        let reduction = &self.program.reductions[object];
        if reduction.signature.scale == Scale::Extensive {
            self.found.push(
                Diagnostic::warning(
                    "sum-grows-with-batch",
                    place,
                    format!("`{}` grows with the batch, and so does the step", reduction.name()),
                )
                .help("use `token_mean`, or divide by a constant and silence this with `# aent: allow(sum-grows-with-batch)`"),
            );
        }
    }

    /// Reports products in which a weight and the log-probability that it weights both carry gradient.
    fn weights(&mut self) {
        let program = self.program;
        for id in ancestors(program, program.loss) {
            let Op::Binary(BinaryFn::Mul, a, b) = program.node(id).op else { continue };
            for (weight, value) in [(a, b), (b, a)] {
                let (weight, value) = (program.node(weight), program.node(value));
                let suspicious = matches!(
                    (weight.unit, value.unit),
                    (Unit::Ratio, Unit::LogProb) | (Unit::Entropy, Unit::LogProb | Unit::Ratio)
                );
                if weight.gradient && value.gradient && suspicious {
                    self.found.push(
                        Diagnostic::warning(
                            "undetached-weight",
                            weight.span,
                            format!(
                                "gradient flows through this {} as well as through the {} it weights",
                                weight.unit, value.unit
                            ),
                        )
                        .help("write `detach(...)` around the weight"),
                    );
                }
            }
        }
    }
}

/// Reports a loss whose gradient reaches only the critic, or fields of the file's own.
fn gradient_misses_policy(program: &Program, loss: Span, found: &mut Diagnostics) {
    let reached = || {
        ancestors(program, program.loss).into_iter().map(|id| program.node(id)).filter(|node| node.gradient)
    };
    let policy = reached().any(|node| matches!(node.op, Op::LogProb(_) | Op::Row(_)));
    if program.node(program.loss).gradient && !policy {
        let fields = reached().filter_map(|node| node.op.field()).map(|name| format!("`{name}`"));
        let fields: BTreeSet<String> = fields.collect();
        let fields: Vec<String> = fields.into_iter().collect();
        let message =
            format!("the gradient of this loss reaches {}, but not the policy", fields.join(" and "));
        found.push(
            Diagnostic::warning("gradient-misses-policy", loss, message)
                .help("a critic may be trained by a file of its own: silence this with `# aent: allow(gradient-misses-policy)`"),
        );
    }
}

/// All nodes that a value is computed from, itself included.
fn descendants(program: &Program, root: NodeId) -> HashSet<NodeId> {
    let mut seen = HashSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(program.node(id).op.operands());
        }
    }
    seen
}

/// All nodes that carry gradient to the root, the root included.
fn ancestors(program: &Program, root: NodeId) -> Vec<NodeId> {
    let mut seen = HashSet::new();
    let mut open = vec![root];
    let mut result = Vec::new();
    while let Some(id) = open.pop() {
        let node = program.node(id);
        if node.gradient && seen.insert(id) {
            result.push(id);
            open.extend(node.op.operands());
        }
    }
    result.sort_unstable();
    result
}
