//! Which way a value moves: with the log-probability of the action, and with the rewards that weigh it.

use crate::check::meaning::is_deviation;
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::types::Unit;

/// The sign that a number is known to have, or the direction of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

impl Sign {
    /// The sign of the numbers in an interval; `None` if they may have either.
    pub(super) fn of(interval: crate::interval::Interval) -> Option<Self> {
        match (interval.lo >= 0.0, interval.hi <= 0.0) {
            (true, false) => Some(Sign::Plus),
            (false, true) => Some(Sign::Minus),
            _ => None,
        }
    }

    pub(super) fn flipped(self) -> Self {
        self.times(Sign::Minus)
    }

    pub(super) fn times(self, other: Sign) -> Self {
        if self == other { Sign::Plus } else { Sign::Minus }
    }
}

/// A product of constants for the gradient and one value that has it, or a value alone.
pub(super) struct Product {
    /// The factors without gradient, and divisors.
    pub(super) weights: Vec<NodeId>,
    /// The one factor with gradient.
    pub(super) trained: NodeId,
    /// The sign of the negations around the factors.
    pub(super) sign: Sign,
}

/// The factors of a product; `None` if more than one of them has gradient, or a divisor has.
pub(super) fn product(program: &Program, root: NodeId) -> Option<Product> {
    let (mut weights, mut trained, mut sign) = (Vec::new(), None, Sign::Plus);
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let node = program.node(id);
        match node.op {
            Op::Unary(UnaryFn::Neg, x) => {
                sign = sign.flipped();
                open.push(x);
            }
            Op::Binary(BinaryFn::Mul, a, b) => open.extend([a, b]),
            // A quotient of log-probabilities is reported as such.
            Op::Binary(BinaryFn::Div, a, b)
                if !program.node(b).gradient && program.node(b).unit != Unit::LogProb =>
            {
                weights.push(b);
                open.push(a);
            }
            _ if !node.gradient => weights.push(id),
            _ if trained.is_none() => trained = Some(id),
            _ => return None,
        }
    }
    Some(Product { weights, trained: trained?, sign })
}

impl Product {
    /// Which way the product moves with the log-probability of a good action, if its weights are rewards or advantages.
    pub(super) fn rewards_good_actions(&self, program: &Program) -> Option<Sign> {
        let mut sign = self.sign.times(with_log_prob(program, self.trained)?);
        let mut weighs = false;
        for &weight in &self.weights {
            if let Some(direction) = with_rewards(program, weight) {
                weighs = true;
                sign = sign.times(direction);
            } else {
                sign = sign.times(sign_of(program, weight)?);
            }
        }
        weighs.then_some(sign)
    }
}

/// Which way a value with gradient moves when the action becomes likelier; `None` where that depends.
pub(super) fn with_log_prob(program: &Program, id: NodeId) -> Option<Sign> {
    let node = program.node(id);
    if !node.gradient {
        return None;
    }
    let of = |id: NodeId| with_log_prob(program, id);
    let constant = |id: NodeId| !program.node(id).gradient;
    match node.op {
        Op::LogProb(_) => Some(Sign::Plus),
        Op::Unary(UnaryFn::Neg, x) => of(x).map(Sign::flipped),
        Op::Unary(
            UnaryFn::Exp
            | UnaryFn::Log
            | UnaryFn::Sqrt
            | UnaryFn::Sigmoid
            | UnaryFn::Tanh
            | UnaryFn::Softplus,
            x,
        )
        | Op::Clamp(x, ..) => of(x),
        Op::Binary(BinaryFn::Add | BinaryFn::Min | BinaryFn::Max, a, b) => {
            both((of(a), constant(a)), (of(b), constant(b)))
        }
        Op::Binary(BinaryFn::Sub, a, b) => {
            both((of(a), constant(a)), (of(b).map(Sign::flipped), constant(b)))
        }
        Op::Binary(BinaryFn::Mul, a, b) => {
            let (weight, value) = if constant(a) { (a, b) } else { (b, a) };
            if !constant(weight) {
                return None;
            }
            Some(of(value)?.times(sign_of(program, weight)?))
        }
        Op::Binary(BinaryFn::Div, a, b) if constant(b) && program.node(b).unit != Unit::LogProb => {
            Some(of(a)?.times(sign_of(program, b)?))
        }
        Op::Reduce { object, operand, .. } if program.reductions[object].signature.additive => of(operand),
        _ => None,
    }
}

/// The direction of two parts, each with whether it is constant: that of the one which is not, or that of both if they
/// agree.
fn both(a: (Option<Sign>, bool), b: (Option<Sign>, bool)) -> Option<Sign> {
    match (a.1, b.1) {
        (true, _) => b.0,
        (_, true) => a.0,
        (false, false) => a.0.filter(|sign| Some(*sign) == b.0),
    }
}

/// The sign of a constant, where it has one.
fn sign_of(program: &Program, id: NodeId) -> Option<Sign> {
    let node = program.node(id);
    match node.op {
        Op::Reduce { object, .. } if is_deviation(&program.reductions[object]) => Some(Sign::Plus),
        Op::Binary(BinaryFn::Add, a, b) => {
            let (a, b) = (sign_of(program, a), sign_of(program, b));
            a.filter(|sign| Some(*sign) == b).or_else(|| Sign::of(node.interval))
        }
        _ => Sign::of(node.interval),
    }
}

/// Which way a constant weight moves with the rewards or advantages in it; `None` if it has none.
fn with_rewards(program: &Program, id: NodeId) -> Option<Sign> {
    let of = |id: NodeId| with_rewards(program, id);
    let node = program.node(id);
    match &node.op {
        // What a critic says is a baseline.
        Op::Field(name) => {
            let is_reward = node.unit == Unit::Reward && !matches!(name.as_str(), "values" | "old_values");
            is_reward.then_some(Sign::Plus)
        }
        Op::Term { .. } => (node.unit == Unit::Reward).then_some(Sign::Plus),
        Op::Unary(UnaryFn::Neg, x) => of(*x).map(Sign::flipped),
        Op::Unary(UnaryFn::Detach, x) | Op::Clamp(x, ..) => of(*x),
        Op::Binary(BinaryFn::Sub, a, b) => {
            let (first, second) = (of(*a), of(*b).map(Sign::flipped));
            // Of a mean and what it is the mean of, the mean is the baseline.
            let is_mean = |id: NodeId| matches!(program.node(id).op, Op::Reduce { .. });
            if is_mean(*a) && !is_mean(*b) { second.or(first) } else { first.or(second) }
        }
        Op::Binary(BinaryFn::Add, a, b) => of(*a).or_else(|| of(*b)),
        Op::Binary(BinaryFn::Mul, a, b) => match (of(*a), of(*b)) {
            (Some(sign), None) => Some(sign.times(sign_of(program, *b)?)),
            (None, Some(sign)) => Some(sign.times(sign_of(program, *a)?)),
            _ => None,
        },
        Op::Binary(BinaryFn::Div, a, b) => Some(of(*a)?.times(sign_of(program, *b)?)),
        // A deviation has no direction.
        Op::Reduce { object, operand, .. } if !is_deviation(&program.reductions[*object]) => of(*operand),
        _ => None,
    }
}
