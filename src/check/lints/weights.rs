//! Weights that are trained along with what they weigh.

use super::ancestors;
use crate::diag::{Diagnostic, Diagnostics};
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::types::{Shape, Unit};
use std::collections::HashSet;

/// Reports products in which a weight and the log-probability, ratio or surrogate that it weighs both carry gradient.
pub(super) fn check(program: &Program, found: &mut Diagnostics) {
    let all = ancestors(program, program.loss);
    // A product within another one is seen with it.
    let inner: HashSet<NodeId> = all.iter().flat_map(|id| parts(program, *id)).collect();
    // What is one number already weighs nothing else.
    let is_scalar = |id: NodeId| program.node(id).ty.shape == Shape::Scalar;
    for id in all.into_iter().filter(|id| !inner.contains(id) && !is_scalar(*id)) {
        let factors = factors(program, id);
        let Some(value) = most_likely_value(program, &factors) else { continue };
        let weight = factors.iter().find(|of| **of != value && is_weight(program, **of, value));
        let Some(weight) = weight.map(|id| program.node(*id)) else { continue };
        let (weighed, weighs) = (in_words(program, value), weight.unit);
        found.push(
            Diagnostic::warning(
                "undetached-weight",
                weight.span,
                format!("gradient flows through this {weighs} as well as through the {weighed} it weights"),
            )
            .help("write `detach(...)` around the weight"),
        );
    }
}

/// The parts of a product, a quotient or a negation.
fn parts(program: &Program, id: NodeId) -> Vec<NodeId> {
    match program.node(id).op {
        Op::Binary(BinaryFn::Mul | BinaryFn::Div, a, b) => vec![a, b],
        Op::Unary(UnaryFn::Neg, x) => vec![x],
        _ => Vec::new(),
    }
}

/// The factors and divisors with gradient of a product.
fn factors(program: &Program, root: NodeId) -> Vec<NodeId> {
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(id) = open.pop() {
        let parts = parts(program, id);
        if !program.node(id).gradient {
            continue;
        }
        if parts.is_empty() {
            found.push(id);
        }
        // The first part is looked at first.
        open.extend(parts.into_iter().rev());
    }
    found
}

/// The factor that the others would weigh: a surrogate, or else a log-probability, or else a ratio.
fn most_likely_value(program: &Program, factors: &[NodeId]) -> Option<NodeId> {
    let of_unit = |unit| factors.iter().rev().find(|id| program.node(**id).unit == unit);
    let surrogate = factors.iter().find(|id| is_surrogate(program, **id));
    surrogate.or_else(|| of_unit(Unit::LogProb)).or_else(|| of_unit(Unit::Ratio)).copied()
}

fn is_surrogate(program: &Program, id: NodeId) -> bool {
    match program.node(id).op {
        Op::Term { object, .. } => program.terms[object].signature.minimised,
        _ => false,
    }
}

fn is_weight(program: &Program, weight: NodeId, value: NodeId) -> bool {
    let value_is_ratio = program.node(value).unit == Unit::Ratio;
    match program.node(weight).unit {
        // A product of ratios is a ratio.
        Unit::Ratio => !value_is_ratio,
        Unit::Entropy | Unit::Reward => true,
        _ => false,
    }
}

fn in_words(program: &Program, value: NodeId) -> String {
    if is_surrogate(program, value) { "surrogate".to_owned() } else { program.node(value).unit.to_string() }
}
