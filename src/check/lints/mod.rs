//! Lints for programs that run but probably do not do what their authors want.

mod direction;
mod feedback;
mod weights;

use super::gradient::{Cause, stop};
use super::incomplete::listed;
use crate::diag::{Diagnostic, Diagnostics};
use crate::interval::Interval;
use crate::plugin::Scale;
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::span::Span;
use crate::types::{Shape, Unit};
use direction::{Sign, product};
use std::collections::{BTreeSet, HashSet};

/// A part of the sum that a loss is.
#[derive(Clone, Copy)]
struct Addend {
    id: NodeId,
    coefficient: Interval,
    /// Where the loss mentions it.
    place: Option<Span>,
    /// Whether it is divided by a number that is fixed in a step.
    divided: bool,
}

/// Runs all lints on a loss.
pub(super) fn run(program: &Program, losses: &[Span], found: &mut Diagnostics) {
    let mut walk = Walk { program, losses, found, seen: HashSet::new() };
    walk.addends();
    weights::check(program, found);
    gradient_misses_policy(program, losses[0], found);
}

struct Walk<'a> {
    program: &'a Program,
    /// The statements of the losses.
    losses: &'a [Span],
    found: &'a mut Diagnostics,
    seen: HashSet<(NodeId, u64, u64)>,
}

impl Walk<'_> {
    /// Visits the addends of the loss, each with the interval of its coefficient.
    fn addends(&mut self) {
        let whole =
            Addend { id: self.program.loss, coefficient: Interval::point(1.0), place: None, divided: false };
        let mut open = vec![whole];
        while let Some(addend) = open.pop() {
            let Addend { id, coefficient, .. } = addend;
            if !self.seen.insert((id, coefficient.lo.to_bits(), coefficient.hi.to_bits())) {
                continue;
            }
            let node = self.program.node(id);
            // A named or shared value was written elsewhere; point to its use in the loss, which decides its sign.
            let place = if self.in_loss(node.span) { Some(node.span) } else { addend.place };
            if !node.gradient {
                // A loss without any gradient is reported as a whole elsewhere.
                let is_loss = self.program.losses.iter().any(|(_, loss)| *loss == id);
                if id != self.program.loss && !is_loss {
                    self.trains_nothing(id, place.unwrap_or(node.span));
                }
                continue;
            }
            let addend = Addend { place, ..addend };
            self.signs(id, coefficient, place.unwrap_or(node.span));
            self.below(addend, &mut open);
        }
    }

    /// Adds what an addend consists of.
    fn below(&mut self, addend: Addend, open: &mut Vec<Addend>) {
        let Addend { coefficient, place, .. } = addend;
        let node = self.program.node(addend.id);
        let part = |id: NodeId| Addend { id, ..addend };
        match &node.op {
            Op::Unary(UnaryFn::Neg, x) => open.push(Addend { coefficient: -coefficient, ..part(*x) }),
            Op::Binary(BinaryFn::Add, a, b) => open.extend([part(*a), part(*b)]),
            // The difference of two entropies is meant as one.
            Op::Binary(BinaryFn::Sub, a, b) if self.is_entropy(*a) && self.is_entropy(*b) => {}
            Op::Binary(BinaryFn::Sub, a, b) => {
                open.extend([part(*a), Addend { coefficient: -coefficient, ..part(*b) }]);
            }
            Op::Binary(BinaryFn::Mul, a, b) => {
                for (factor, value) in [(*a, *b), (*b, *a)] {
                    let of = self.program.node(factor);
                    if of.gradient {
                        continue;
                    }
                    let coefficient = coefficient * of.interval;
                    if let Some(sign) = Sign::of(coefficient) {
                        self.feedback(factor, value, sign, place.unwrap_or(node.span));
                    }
                    let divided = addend.divided || matches!(of.op, Op::Binary(BinaryFn::Div, ..));
                    open.push(Addend { coefficient, divided, ..part(value) });
                }
            }
            Op::Binary(BinaryFn::Div, a, b) if self.fixed_in_a_step(*b) => {
                let coefficient = coefficient * self.program.node(*b).interval.recip();
                open.push(Addend { coefficient, divided: true, ..part(*a) });
            }
            // The two branches of a clipped surrogate say the same of its sign.
            Op::Binary(BinaryFn::Min | BinaryFn::Max, a, b)
                if [a, b].iter().all(|id| self.program.node(**id).gradient) =>
            {
                open.push(part(*a));
            }
            Op::Reduce { object, operand, .. } => {
                if !addend.divided {
                    self.extensive(*object, place.unwrap_or(node.span));
                }
                open.push(part(*operand));
            }
            _ => {}
        }
    }

    /// Reports what is in the loss with the wrong sign.
    fn signs(&mut self, id: NodeId, coefficient: Interval, place: Span) {
        self.entropy_sign(id, coefficient, place);
        let Some(sign) = Sign::of(coefficient) else { return };
        let program = self.program;
        let node = program.node(id);
        let wrong = |message: &str, help: &str| Diagnostic::warning("loss-sign", place, message).help(help);
        let diagnostic = match &node.op {
            Op::Term { object, .. } if sign == Sign::Minus => {
                let term = &program.terms[*object];
                if term.signature.minimised {
                    let message =
                        format!("this loss falls as `{}` grows, which is to be minimised", term.name());
                    wrong(&message, "a surrogate has its minus already: add it")
                } else if node.unit == Unit::Divergence {
                    let message = "this loss falls as the divergence grows: the penalty is a bonus";
                    wrong(message, "a loss is minimised, so a penalty is added: `+ beta * token_mean(kl())`")
                } else {
                    return;
                }
            }
            Op::Binary(BinaryFn::Mul | BinaryFn::Div, ..) => {
                let Some(product) = product(program, id) else { return };
                // A loss that falls as a good action becomes likelier has a minus here.
                if product.rewards_good_actions(program).map(|with| with.times(sign)) != Some(Sign::Plus) {
                    return;
                }
                let ratio = program.node(product.trained);
                if ratio.unit == Unit::Ratio
                    && direction::with_log_prob(program, product.trained) == Some(Sign::Minus)
                {
                    let message = "this ratio is upside down: it falls as the action becomes likelier";
                    wrong(message, "write `exp(log_prob - old_log_prob)`")
                } else {
                    let message = "this loss grows as good actions become likelier";
                    wrong(
                        message,
                        "a loss is minimised, so what is to grow has a minus: `-token_mean(advantages * log_prob)`",
                    )
                }
            }
            Op::Binary(function @ (BinaryFn::Min | BinaryFn::Max), a, b) => {
                let clipped = |id: NodeId| {
                    let of = product(program, id)?;
                    let with = of.rewards_good_actions(program)?.times(sign);
                    let is_clipped = matches!(program.node(of.trained).op, Op::Clamp(..));
                    (with == Sign::Minus).then_some(is_clipped)
                };
                let (Some(a), Some(b)) = (clipped(*a), clipped(*b)) else { return };
                let takes_the_worse = (*function == BinaryFn::Max) == (sign == Sign::Plus);
                if takes_the_worse || a == b {
                    return;
                }
                let message = "the better of two surrogates is taken, so the clipped one limits nothing";
                wrong(message, "the loss is the worse one: `-min(a, b)` of gains, `max(a, b)` of losses")
            }
            _ => return,
        };
        self.found.push(diagnostic);
    }

    /// Reports a coefficient that drives its own signal away from the target.
    fn feedback(&mut self, factor: NodeId, value: NodeId, sign: Sign, place: Span) {
        let Some(found) = feedback::positive(self.program, factor, value, sign) else { return };
        let controller = &self.program.controllers[found.controller];
        let message = format!("as `{}` grows, its signal moves further from the target", controller.name);
        let (when, limit) = match found.should_grow {
            Sign::Plus => ("below", "at_least"),
            Sign::Minus => ("above", "at_most"),
        };
        let mut diagnostic = Diagnostic::warning("positive-feedback", place, message).help(format!(
            "turn the sign of this summand, or let the coefficient grow while the signal is {when} its target, as `dual_ascent({limit} = ...)` does"
        ));
        if let Some(signal) = controller.signal.map(|id| self.program.node(id).span)
            && !self.in_loss(signal)
        {
            diagnostic = diagnostic.label(signal, "its signal is this");
        }
        self.found.push(diagnostic);
    }

    fn is_entropy(&self, id: NodeId) -> bool {
        self.program.node(id).unit == Unit::Entropy
    }

    fn in_loss(&self, span: Span) -> bool {
        let within =
            |loss: &Span| span.source == loss.source && loss.start <= span.start && span.end <= loss.end;
        self.losses.iter().any(within)
    }

    /// Whether a divisor does not depend on the batch.
    fn fixed_in_a_step(&self, id: NodeId) -> bool {
        match &self.program.node(id).op {
            Op::Constant(_) | Op::Controller(_) | Op::Step => true,
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
                .help("use `token_mean`, or divide by a constant: `/ 4096`"),
            );
        }
    }
}

/// Reports a loss whose gradient reaches only the critic, or fields of the file's own.
fn gradient_misses_policy(program: &Program, loss: Span, found: &mut Diagnostics) {
    let reached = ancestors(program, program.loss);
    let ops = || reached.iter().map(|id| &program.node(*id).op);
    let policy = ops().any(|op| matches!(op, Op::LogProb(_) | Op::Row(_)));
    if !reached.is_empty() && !policy {
        let fields: BTreeSet<&str> = ops().flat_map(Op::fields).collect();
        let fields = listed(&fields.into_iter().collect::<Vec<_>>());
        let message = format!("the gradient of this loss reaches {fields}, but not the policy");
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
