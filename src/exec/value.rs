//! Values of a running program and the algebra on them: tensors, or numbers known on the host.

use super::error::Result;
use crate::program::{BinaryFn, UnaryFn};
use crate::tensor::{Binary, DType, Tensor};
use std::collections::HashMap;

/// Values of a whole step that a part cannot compute, by node.
pub(super) type Presets = HashMap<usize, Tensor>;

/// A number stays on the host until it is combined with a tensor, so that constants and coefficients cost nothing.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Number(f64),
    Tensor(Tensor),
}

impl Value {
    /// As a tensor of the kind and on the device of `like`.
    pub(super) fn to_tensor(&self, like: Like<'_>) -> Tensor {
        match self {
            Value::Number(number) => like.scalar(*number),
            Value::Tensor(tensor) => tensor.clone(),
        }
    }

    /// As a number; waits for the device if it is a tensor.
    pub(super) fn number(&self) -> Result<f64> {
        match self {
            Value::Number(number) => Ok(*number),
            Value::Tensor(tensor) => Ok(tensor.f64_at(&[])?),
        }
    }

    /// The value, unless an operation leading to it failed.
    pub(super) fn ok(self) -> Result<Self> {
        Ok(match self {
            Value::Number(number) => Value::Number(number),
            Value::Tensor(tensor) => Value::Tensor(tensor.ok()?),
        })
    }
}

/// The device and kind of tensors made from numbers.
#[derive(Clone, Copy)]
pub(super) struct Like<'a> {
    /// A tensor on the device.
    pub near: &'a Tensor,
    pub dtype: DType,
}

impl Like<'_> {
    pub(super) fn scalar(self, number: f64) -> Tensor {
        self.near.full(&[], number, self.dtype)
    }
}

pub(super) fn unary(function: UnaryFn, x: &Value) -> Value {
    let x = match x {
        Value::Number(x) => return Value::Number(function.apply(*x)),
        Value::Tensor(x) => x,
    };
    Value::Tensor(match function {
        UnaryFn::Neg => -x,
        UnaryFn::Not => x.logical_not(),
        UnaryFn::Exp => x.exp(),
        UnaryFn::Log => x.log(),
        UnaryFn::Sqrt => x.sqrt(),
        UnaryFn::Abs => x.abs(),
        UnaryFn::Sign => x.sign(),
        UnaryFn::Sigmoid => x.sigmoid(),
        UnaryFn::Tanh => x.tanh(),
        UnaryFn::Softplus => x.softplus(),
        UnaryFn::Detach => x.detach(),
    })
}

pub(super) fn binary(function: BinaryFn, a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Value::Number(function.apply(*a, *b)),
        (Value::Tensor(a), Value::Tensor(b)) => Value::Tensor(a.binary(operation(function), b.into())),
        (Value::Tensor(a), Value::Number(b)) => Value::Tensor(a.binary(operation(function), (*b).into())),
        (Value::Number(a), Value::Tensor(b)) => Value::Tensor(number_tensor(function, *a, b)),
    }
}

fn operation(function: BinaryFn) -> Binary {
    match function {
        BinaryFn::Add => Binary::Add,
        BinaryFn::Sub => Binary::Sub,
        BinaryFn::Mul => Binary::Mul,
        BinaryFn::Div => Binary::Div,
        BinaryFn::Pow => Binary::Pow,
        BinaryFn::Min => Binary::Minimum,
        BinaryFn::Max => Binary::Maximum,
        BinaryFn::Lt => Binary::Lt,
        BinaryFn::Le => Binary::Le,
        BinaryFn::Gt => Binary::Gt,
        BinaryFn::Ge => Binary::Ge,
        BinaryFn::Eq => Binary::Eq,
        BinaryFn::Ne => Binary::Ne,
        BinaryFn::And => Binary::LogicalAnd,
        BinaryFn::Or => Binary::LogicalOr,
    }
}

fn number_tensor(function: BinaryFn, a: f64, b: &Tensor) -> Tensor {
    let mirrored = match function {
        BinaryFn::Sub => return a - b,
        BinaryFn::Div => return a / b,
        BinaryFn::Pow => return b.power_of(a),
        BinaryFn::Lt => BinaryFn::Gt,
        BinaryFn::Le => BinaryFn::Ge,
        BinaryFn::Gt => BinaryFn::Lt,
        BinaryFn::Ge => BinaryFn::Le,
        symmetric => symmetric,
    };
    b.binary(operation(mirrored), a.into())
}

pub(super) fn select(condition: &Tensor, a: &Value, b: &Value, like: Like<'_>) -> Value {
    Value::Tensor(condition.where_cond(&a.to_tensor(like), &b.to_tensor(like)))
}

pub(super) fn clamp(x: &Value, lo: &Value, hi: &Value, like: Like<'_>) -> Value {
    match (x, lo, hi) {
        (Value::Number(x), Value::Number(lo), Value::Number(hi)) => {
            Value::Number(BinaryFn::clamp(*x, *lo, *hi))
        }
        (Value::Tensor(x), Value::Number(lo), Value::Number(hi)) => Value::Tensor(x.clamp(*lo, *hi)),
        _ => Value::Tensor(x.to_tensor(like).clamp_between(&lo.to_tensor(like), &hi.to_tensor(like))),
    }
}

/// The `q` quantile of the values where `valid`, linearly interpolated; zero if there are none, NaN if one of them is.
pub(super) fn quantile(x: &Tensor, valid: &Tensor, q: f64) -> Tensor {
    let places = valid.flatten(0, -1).nonzero().squeeze(1);
    let count = places.length(0);
    if count == 0 {
        return x.zeros(&[], x.dtype());
    }
    let [sorted, _] = x.flatten(0, -1).index_select(0, &places).sort(0, false);
    let position = q * (count - 1) as f64;
    let below = position.floor() as i64;
    let above = (below + 1).min(count - 1);
    let share = position - below as f64;
    let found = if share == 0.0 {
        // The next value has no weight; if it is infinite, its product with zero would be NaN.
        sorted.select(0, below)
    } else {
        sorted.select(0, below) * (1.0 - share) + sorted.select(0, above) * share
    };
    // NaN comes last, and must not be out of sight.
    let last = sorted.select(0, count - 1);
    last.eq(&last).where_cond(&found, &last)
}

/// Marks the largest `max(1, floor(p·n))` of the `n` values where `valid`, of which NaN is the largest; of equal values, the
/// earlier ones.
pub(super) fn top_fraction(x: &Tensor, valid: &Tensor, p: f64) -> Result<Tensor> {
    let count = valid.sum_in(DType::I64).i64_at(&[])?;
    let marks = valid.zeros_like().flatten(0, -1);
    if count == 0 {
        return Ok(marks.reshape_as(valid));
    }
    let kept = ((p * count as f64).floor() as i64).max(1);
    let lowest = x.full_like(f64::NEG_INFINITY);
    // Sort by validity after sorting by value: a valid value may itself be `-inf`.
    let values = valid.where_cond(x, &lowest).flatten(0, -1);
    let [_, by_value] = values.sort(0, true);
    let validity = valid.flatten(0, -1).index_select(0, &by_value).to_dtype(DType::U8);
    let [_, by_validity] = validity.sort(0, true);
    let order = by_value.index_select(0, &by_validity);
    let chosen = order.narrow(0, 0, kept);
    Ok(marks.index_fill(0, &chosen, 1i64).reshape_as(valid))
}
