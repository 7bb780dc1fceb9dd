//! Infers the interval and unit of a result.

use super::{BinaryFn, UnaryFn};
use crate::interval::Interval;
use crate::types::Unit;

/// The interval of a function of one value.
pub(super) fn unary_interval(op: UnaryFn, x: Interval) -> Interval {
    match op {
        UnaryFn::Neg => -x,
        UnaryFn::Not => Interval::UNIT,
        UnaryFn::Abs => x.abs(),
        UnaryFn::Exp
        | UnaryFn::Sigmoid
        | UnaryFn::Tanh
        | UnaryFn::Softplus
        | UnaryFn::Sign
        | UnaryFn::Detach => x.map(|x| op.apply(x)),
        UnaryFn::Log | UnaryFn::Sqrt => x.max(Interval::point(0.0)).map(|x| op.apply(x)),
    }
}

/// The interval of a function of two values.
pub(super) fn binary_interval(op: BinaryFn, a: Interval, b: Interval) -> Interval {
    match op {
        BinaryFn::Add => a + b,
        BinaryFn::Sub => a - b,
        BinaryFn::Mul => a * b,
        BinaryFn::Div => a * b.recip(),
        BinaryFn::Min => a.min(b),
        BinaryFn::Max => a.max(b),
        // Only powers that are common in practice get a tight interval.
        BinaryFn::Pow if b == Interval::point(2.0) => a.abs().map(|x| x * x),
        BinaryFn::Pow if a.lo >= 0.0 => Interval::NON_NEGATIVE,
        BinaryFn::Pow => Interval::ALL,
        _ => Interval::UNIT,
    }
}

/// The unit of a function of one value.
pub(super) fn unary_unit(op: UnaryFn, x: Unit) -> Unit {
    match (op, x) {
        (UnaryFn::Exp, Unit::LogRatio) => Unit::Ratio,
        (UnaryFn::Exp, Unit::LogProb) => Unit::Probability,
        (UnaryFn::Log, Unit::Ratio) => Unit::LogRatio,
        (UnaryFn::Log, Unit::Probability) => Unit::LogProb,
        (UnaryFn::Neg | UnaryFn::Detach | UnaryFn::Abs, unit) => unit,
        _ => Unit::Unknown,
    }
}

/// The unit of a function of two values. Multiplying or dividing by a number of unknown unit keeps the unit, as does
/// adding one.
pub(super) fn binary_unit(op: BinaryFn, a: Unit, b: Unit) -> Unit {
    match (op, a, b) {
        (BinaryFn::Sub, Unit::LogProb, Unit::LogProb) => Unit::LogRatio,
        (BinaryFn::Div, Unit::Probability, Unit::Probability) => Unit::Ratio,
        // An advantage divided by a deviation of rewards is an advantage.
        (BinaryFn::Div, Unit::Reward, Unit::Reward) => Unit::Reward,
        (BinaryFn::Mul, Unit::Ratio, Unit::Reward) | (BinaryFn::Mul, Unit::Reward, Unit::Ratio) => {
            Unit::Ratio
        }
        (BinaryFn::Mul, Unit::LogProb, Unit::Reward) | (BinaryFn::Mul, Unit::Reward, Unit::LogProb) => {
            Unit::LogProb
        }
        (BinaryFn::Add | BinaryFn::Sub | BinaryFn::Min | BinaryFn::Max, a, b) if a == b => a,
        (
            BinaryFn::Add | BinaryFn::Sub | BinaryFn::Mul | BinaryFn::Min | BinaryFn::Max | BinaryFn::Div,
            a,
            Unit::Unknown,
        ) => a,
        (BinaryFn::Add | BinaryFn::Sub | BinaryFn::Mul | BinaryFn::Min | BinaryFn::Max, Unit::Unknown, b) => {
            b
        }
        _ => Unit::Unknown,
    }
}

/// The unit of a value that may be either of two.
pub(super) fn join_units(a: Unit, b: Unit) -> Unit {
    if a == b || b == Unit::Unknown {
        a
    } else if a == Unit::Unknown {
        b
    } else {
        Unit::Unknown
    }
}
