//! What divides the logits of rows, in the host's operations: one number, or one for each row.

use crate::tensor::{DType, Tensor};

/// The temperature of some rows.
#[derive(Clone)]
pub(super) enum Divisor {
    /// Of all rows.
    Number(f64),
    /// Of each row, `[M, 1]` in f64.
    Rows(Tensor),
}

impl Divisor {
    /// A temperature, times what the batch divides each row by, `[M]`, if it does.
    pub(super) fn new(temperature: f64, divisors: Option<&Tensor>) -> Self {
        match divisors {
            None => Self::Number(temperature),
            Some(divisors) => Self::Rows((divisors.to_dtype(DType::F64) * temperature).unsqueeze(1)),
        }
    }

    /// `[M, V]` divided by it, in the same kind.
    pub(super) fn of(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Number(number) => x / *number,
            Self::Rows(rows) => x / rows.to_dtype(x.dtype()),
        }
    }

    /// `x + factor · divisor` of `[M, 1]` in f64.
    pub(super) fn added(&self, x: &Tensor, factor: f64) -> Tensor {
        match self {
            Self::Number(number) => x + number * factor,
            Self::Rows(rows) => x + rows * factor,
        }
    }

    /// That of some of the rows.
    pub(super) fn narrow(&self, start: i64, count: i64) -> Self {
        match self {
            Self::Number(_) => self.clone(),
            Self::Rows(rows) => Self::Rows(rows.narrow(0, start, count)),
        }
    }
}
