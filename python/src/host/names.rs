//! torch's names of the operations, and operands as Python has them.

use aent::tensor::{Axis, Binary, Reduce, Scalar, Scatter, Unary};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

/// Looks up operands of the same host, and runs calls on them; an exception becomes the error of the operation.
macro_rules! with {
    (|$py:ident, $($name:ident),*| $body:expr) => {
        crate::host::state::interrupting(|$py| {
            $(let $name = crate::host::convert::operand($py, $name)?;)*
            $body
        })
    };
}

pub(super) use with;

/// A function from operations to the names of torch's methods.
macro_rules! names {
    ($($function:ident $type:ident: $($op:ident $name:literal),*;)*) => {
        $(
            pub(super) fn $function(py: Python<'_>, op: $type) -> &Bound<'_, PyString> {
                match op {
                    $($type::$op => intern!(py, $name),)*
                    _ => intern!(py, "an operation that this version does not know"),
                }
            }
        )*
    };
}

names! {
    unary Unary:
        Neg "neg", Abs "abs", Sign "sign", Square "square", Sqrt "sqrt", Reciprocal "reciprocal", Exp "exp", Expm1 "expm1", Log "log", Sigmoid "sigmoid", Tanh "tanh", LogicalNot "logical_not", IsFinite "isfinite";
    binary Binary:
        Add "add", Sub "sub", Mul "mul", Div "div", Pow "pow", Minimum "minimum", Maximum "maximum", Lt "lt", Le "le", Gt "gt", Ge "ge", Eq "eq", Ne "ne", LogicalAnd "logical_and", LogicalOr "logical_or", LogAddExp "logaddexp", NextAfter "nextafter", FloorDivide "floor_divide", Remainder "remainder", BitwiseXor "bitwise_xor", BitwiseRightShift "bitwise_right_shift";
    reduce Reduce:
        Sum "sum", Amax "amax", Amin "amin", Any "any", All "all", LogSumExp "logsumexp";
    axis Axis:
        Cumsum "cumsum", LogSoftmax "log_softmax";
    scatter Scatter:
        IndexAdd "index_add", IndexCopy "index_copy", ScatterAdd "scatter_add";
}

/// Sizes as arguments of their own: for a list of them torch raises an exception, which it drops. None are one empty argument.
pub(super) fn sizes<'py>(py: Python<'py>, size: &[i64]) -> PyResult<Bound<'py, PyTuple>> {
    if size.is_empty() { PyTuple::new(py, [PyTuple::empty(py)]) } else { PyTuple::new(py, size) }
}

/// A number as Python has it.
pub(super) fn scalar(py: Python<'_>, scalar: Scalar) -> PyResult<Bound<'_, PyAny>> {
    Ok(match scalar {
        Scalar::Float(number) => number.into_pyobject(py)?.into_any(),
        Scalar::Int(number) => number.into_pyobject(py)?.into_any(),
    })
}
