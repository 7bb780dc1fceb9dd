//! Controllers whose coefficient drives their own signal away from its target.

use super::direction::Sign;
use crate::plugin::{Controller, ControllerState};
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::types::Unit;

/// How many observations a rule gets to answer to its signal.
const PATIENCE: usize = 4096;

/// A controller whose growing coefficient moves its own signal further from the target.
pub(super) struct Positive {
    /// The controller's index.
    pub(super) controller: usize,
    /// When its coefficient would have to grow: while the signal is below its target (`Plus`) or above it (`Minus`).
    pub(super) should_grow: Sign,
}

/// Judges a summand `value` of the loss that has `factor` as one of its factors, and `sign` as the sign of all of them.
pub(super) fn positive(program: &Program, factor: NodeId, value: NodeId, sign: Sign) -> Option<Positive> {
    let index = controller(program, factor)?;
    let controller = &program.controllers[index];
    let (signal, signal_sign) = core(program, controller.signal?);
    let (value, value_sign) = core(program, value);
    let is_entropy = |id: NodeId| program.node(id).unit == Unit::Entropy;
    if signal != value && !(is_entropy(signal) && is_entropy(value)) {
        return None;
    }
    if is_entropy(value) && sign.times(value_sign) == Sign::Plus {
        // That an entropy is added at all is reported as such.
        return None;
    }
    // A loss is minimised: with a positive sign, a larger coefficient lowers the value.
    let moves_signal = sign.times(value_sign).flipped().times(signal_sign);
    let grows_below = grows_below(controller.object.value.as_ref())?;
    (grows_below != moves_signal).then_some(Positive { controller: index, should_grow: moves_signal })
}

/// The controller that a factor is, perhaps scaled.
fn controller(program: &Program, id: NodeId) -> Option<usize> {
    match program.node(id).op {
        Op::Controller(index) => Some(index),
        Op::Binary(BinaryFn::Mul, a, b) => match (controller(program, a), controller(program, b)) {
            (Some(index), None) | (None, Some(index)) => Some(index),
            _ => None,
        },
        Op::Unary(UnaryFn::Neg | UnaryFn::Detach, x) => controller(program, x),
        _ => None,
    }
}

/// What a value is a mean, a multiple or a shift of, and whether it is turned over.
fn core(program: &Program, mut id: NodeId) -> (NodeId, Sign) {
    let mut sign = Sign::Plus;
    loop {
        let node = program.node(id);
        let constant = |id: NodeId| !program.node(id).gradient;
        id = match node.op {
            Op::Unary(UnaryFn::Neg, x) => {
                sign = sign.flipped();
                x
            }
            Op::Unary(UnaryFn::Detach, x) => x,
            Op::Reduce { operand, .. } => operand,
            Op::Binary(BinaryFn::Add | BinaryFn::Sub, a, b) if constant(b) => a,
            Op::Binary(BinaryFn::Mul, a, b)
                if constant(a) && Sign::of(program.node(a).interval).is_some() =>
            {
                sign = sign.times(Sign::of(program.node(a).interval).unwrap_or(Sign::Plus));
                b
            }
            _ => return (id, sign),
        };
    }
}

/// Whether the coefficient grows while the signal is below its target (`Plus`) or above it (`Minus`); `None` if the rule
/// has no target or does not answer. The rule itself is asked.
fn grows_below(rule: &dyn Controller) -> Option<Sign> {
    let target = rule.target()?;
    let ends = [target.lo, target.hi].map(|end| end.is_finite().then_some(end));
    let (lo, hi) = (ends[0].or(ends[1])?, ends[1].or(ends[0])?);
    let (below, above) = (lo - lo.abs() - 1.0, hi + hi.abs() + 1.0);
    let mut state: ControllerState = rule.start();
    for _ in 0..PATIENCE {
        let (low, high) = (rule.observe(&state, Some(below)), rule.observe(&state, Some(above)));
        if low.value > high.value {
            return Some(Sign::Plus);
        }
        if low.value < high.value {
            return Some(Sign::Minus);
        }
        // Within its target a rule rests, while its warm-up goes by.
        state = rule.observe(&state, Some(f64::midpoint(lo, hi)));
    }
    None
}
