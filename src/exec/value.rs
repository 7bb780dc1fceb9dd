//! Values of a running program and the algebra on them: tensors, or numbers known on the host.

use super::Result;
use crate::program::{BinaryFn, UnaryFn};
use tch::{Kind, Tensor};

/// A number stays on the host until it meets a tensor, so that constants and coefficients cost nothing.
#[derive(Debug)]
pub(super) enum Value {
    Number(f64),
    Tensor(Tensor),
}

impl Value {
    pub(super) fn shallow_clone(&self) -> Self {
        match self {
            Value::Number(number) => Value::Number(*number),
            Value::Tensor(tensor) => Value::Tensor(tensor.shallow_clone()),
        }
    }

    /// As a tensor of the kind and on the device of `like`.
    pub(super) fn to_tensor(&self, like: (Kind, tch::Device)) -> Result<Tensor> {
        match self {
            Value::Number(number) => Ok(Tensor::f_full([0i64; 0], *number, like)?),
            Value::Tensor(tensor) => Ok(tensor.shallow_clone()),
        }
    }
}

pub(super) fn unary(function: UnaryFn, x: &Value) -> Result<Value> {
    let x = match x {
        Value::Number(x) => return Ok(Value::Number(function.apply(*x))),
        Value::Tensor(x) => x,
    };
    Ok(Value::Tensor(match function {
        UnaryFn::Neg => x.f_neg()?,
        UnaryFn::Not => x.f_logical_not()?,
        UnaryFn::Exp => x.f_exp()?,
        UnaryFn::Log => x.f_log()?,
        UnaryFn::Sqrt => x.f_sqrt()?,
        UnaryFn::Abs => x.f_abs()?,
        UnaryFn::Sign => x.f_sign()?,
        UnaryFn::Sigmoid => x.f_sigmoid()?,
        UnaryFn::Tanh => x.f_tanh()?,
        UnaryFn::Softplus => x.f_softplus()?,
        UnaryFn::Detach => x.f_detach()?,
    }))
}

pub(super) fn binary(function: BinaryFn, a: &Value, b: &Value) -> Result<Value> {
    Ok(match (a, b) {
        (Value::Number(a), Value::Number(b)) => Value::Number(function.apply(*a, *b)),
        (Value::Tensor(a), Value::Tensor(b)) => Value::Tensor(tensors(function, a, b)?),
        (Value::Tensor(a), Value::Number(b)) => Value::Tensor(tensor_number(function, a, *b)?),
        (Value::Number(a), Value::Tensor(b)) => Value::Tensor(number_tensor(function, *a, b)?),
    })
}

fn tensors(function: BinaryFn, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(match function {
        BinaryFn::Add => a.f_add(b)?,
        BinaryFn::Sub => a.f_sub(b)?,
        BinaryFn::Mul => a.f_mul(b)?,
        BinaryFn::Div => a.f_div(b)?,
        BinaryFn::Pow => a.f_pow(b)?,
        BinaryFn::Min => a.f_minimum(b)?,
        BinaryFn::Max => a.f_maximum(b)?,
        BinaryFn::Lt => a.f_lt_tensor(b)?,
        BinaryFn::Le => a.f_le_tensor(b)?,
        BinaryFn::Gt => a.f_gt_tensor(b)?,
        BinaryFn::Ge => a.f_ge_tensor(b)?,
        BinaryFn::Eq => a.f_eq_tensor(b)?,
        BinaryFn::Ne => a.f_ne_tensor(b)?,
        BinaryFn::And => a.f_logical_and(b)?,
        BinaryFn::Or => a.f_logical_or(b)?,
    })
}

fn tensor_number(function: BinaryFn, a: &Tensor, b: f64) -> Result<Tensor> {
    Ok(match function {
        BinaryFn::Add => a.f_add_scalar(b)?,
        BinaryFn::Sub => a.f_sub_scalar(b)?,
        BinaryFn::Mul => a.f_mul_scalar(b)?,
        BinaryFn::Div => a.f_div_scalar(b)?,
        BinaryFn::Pow => a.f_pow_tensor_scalar(b)?,
        BinaryFn::Min => a.f_clamp_max(b)?,
        BinaryFn::Max => a.f_clamp_min(b)?,
        BinaryFn::Lt => a.f_lt(b)?,
        BinaryFn::Le => a.f_le(b)?,
        BinaryFn::Gt => a.f_gt(b)?,
        BinaryFn::Ge => a.f_ge(b)?,
        BinaryFn::Eq => a.f_eq(b)?,
        BinaryFn::Ne => a.f_ne(b)?,
        BinaryFn::And | BinaryFn::Or => {
            tensors(function, a, &Tensor::f_full([0i64; 0], b, (Kind::Bool, a.device()))?)?
        }
    })
}

fn number_tensor(function: BinaryFn, a: f64, b: &Tensor) -> Result<Tensor> {
    let mirrored = match function {
        BinaryFn::Sub => return Ok(b.f_neg()?.f_add_scalar(a)?),
        BinaryFn::Div => return Ok(b.f_reciprocal()?.f_mul_scalar(a)?),
        BinaryFn::Pow => return Ok(Tensor::f_pow_scalar(a, b)?),
        BinaryFn::Lt => BinaryFn::Gt,
        BinaryFn::Le => BinaryFn::Ge,
        BinaryFn::Gt => BinaryFn::Lt,
        BinaryFn::Ge => BinaryFn::Le,
        symmetric => symmetric,
    };
    tensor_number(mirrored, b, a)
}

pub(super) fn select(condition: &Tensor, a: &Value, b: &Value, like: (Kind, tch::Device)) -> Result<Value> {
    Ok(Value::Tensor(match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => a.f_where_self(condition, b)?,
        _ => a.to_tensor(like)?.f_where_self(condition, &b.to_tensor(like)?)?,
    }))
}

pub(super) fn clamp(x: &Value, lo: &Value, hi: &Value, like: (Kind, tch::Device)) -> Result<Value> {
    Ok(match (x, lo, hi) {
        (Value::Number(x), Value::Number(lo), Value::Number(hi)) => Value::Number(x.max(*lo).min(*hi)),
        (Value::Tensor(x), Value::Number(lo), Value::Number(hi)) => Value::Tensor(x.f_clamp(*lo, *hi)?),
        _ => {
            let (x, lo, hi) = (x.to_tensor(like)?, lo.to_tensor(like)?, hi.to_tensor(like)?);
            Value::Tensor(x.f_clamp_tensor(Some(&lo), Some(&hi))?)
        }
    })
}

/// `x` where `counted`, zero elsewhere, whatever stood there; nothing flows back from elsewhere either.
pub(super) fn zero_unless(counted: &Tensor, x: &Tensor) -> Result<Tensor> {
    let zero = x.f_new_zeros([0i64; 0], (x.kind(), x.device()))?;
    Ok(x.f_where_self(counted, &zero)?)
}

/// The `q` quantile of the values where `valid`, linearly interpolated; zero without any.
pub(super) fn quantile(x: &Tensor, valid: &Tensor, q: f64) -> Result<Tensor> {
    let chosen = x.f_masked_select(valid)?;
    let count = chosen.size()[0];
    if count == 0 {
        return Ok(x.f_new_zeros([0i64; 0], (x.kind(), x.device()))?);
    }
    let (sorted, _) = chosen.f_sort(0, false)?;
    let position = q * (count - 1) as f64;
    let below = position.floor() as i64;
    let above = (below + 1).min(count - 1);
    let share = position - below as f64;
    let (below, above) = (sorted.f_get(below)?, sorted.f_get(above)?);
    Ok(below.f_mul_scalar(1.0 - share)?.f_add(&above.f_mul_scalar(share)?)?)
}

/// Marks the largest `max(1, floor(p·n))` of the `n` values where `valid`; of equal values the earlier ones.
pub(super) fn top_fraction(x: &Tensor, valid: &Tensor, p: f64) -> Result<Tensor> {
    let count = valid.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    let marks = valid.f_zeros_like()?.f_flatten(0, -1)?;
    if count == 0 {
        return Ok(marks.f_view_as(valid)?);
    }
    let kept = ((p * count as f64).floor() as i64).max(1);
    let lowest = x.f_full_like(f64::NEG_INFINITY)?;
    // Sorted by validity first: a valid value may itself be the lowest there is.
    let values = x.f_where_self(valid, &lowest)?.f_flatten(0, -1)?;
    let (_, by_value) = values.f_sort_stable(true, 0, true)?;
    let validity = valid.f_flatten(0, -1)?.f_index_select(0, &by_value)?.f_to_kind(Kind::Uint8)?;
    let (_, by_validity) = validity.f_sort_stable(true, 0, true)?;
    let order = by_value.f_index_select(0, &by_validity)?;
    let chosen = order.f_narrow(0, 0, kept)?;
    Ok(marks.f_index_fill(0, &chosen, 1i64)?.f_view_as(valid)?)
}
