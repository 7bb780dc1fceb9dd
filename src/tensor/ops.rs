//! The operations by kind, and their operands.

use super::Tensor;

/// An operation on each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "torch's own names")]
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Square,
    Sqrt,
    Reciprocal,
    Exp,
    Expm1,
    Log,
    Sigmoid,
    Tanh,
    Softplus,
    LogicalNot,
    IsFinite,
}

/// An operation on two tensors that broadcast, or on a tensor and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "torch's own names")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Minimum,
    Maximum,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    LogicalAnd,
    LogicalOr,
    LogAddExp,
    NextAfter,
    FloorDivide,
    Remainder,
    BitwiseXor,
    BitwiseRightShift,
}

/// An operation that reduces many elements to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "torch's own names")]
pub enum Reduce {
    Sum,
    Amax,
    Amin,
    Any,
    All,
    LogSumExp,
}

/// An operation along a dimension that keeps the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "torch's own names")]
pub enum Axis {
    Cumsum,
    LogSoftmax,
}

/// A change of shape, as a view where the host can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reshape<'a> {
    /// `reshape`.
    To(&'a [i64]),
    /// `expand`.
    Expand(&'a [i64]),
    /// `unsqueeze`.
    Unsqueeze(i64),
    /// `squeeze`.
    Squeeze(i64),
    /// `flatten`, from one dimension to another.
    Flatten(i64, i64),
    /// `narrow`: dimension, start and length.
    Narrow(i64, i64, i64),
    /// `transpose` of a matrix.
    Transpose,
    /// Pads the last dimension with zeros before and after; a copy.
    Pad(i64, i64),
    /// `contiguous`: a copy unless it is so already.
    Contiguous,
}

/// An operation that writes values into a copy, at indices along a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "torch's own names")]
pub enum Scatter {
    IndexAdd,
    IndexCopy,
    ScatterAdd,
}

/// A number as an operand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Scalar {
    Float(f64),
    Int(i64),
}

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// The right side of an operation: a tensor or a number.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Operand<'a> {
    Tensor(&'a Tensor),
    Scalar(Scalar),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<f64> for Operand<'_> {
    fn from(number: f64) -> Self {
        Self::Scalar(number.into())
    }
}

impl From<i64> for Operand<'_> {
    fn from(number: i64) -> Self {
        Self::Scalar(number.into())
    }
}
