//! Elementwise operations, by name and by operator.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Binary, DType, Operand, Scalar, Tensor, Unary};

/// Methods of the same name as the operation.
macro_rules! unary {
    ($($name:ident $op:ident $doc:literal),* $(,)?) => {
        impl Tensor {
            $(
                #[doc = $doc]
                #[must_use]
                pub fn $name(&self) -> Self {
                    self.make(|x| x.unary(Unary::$op))
                }
            )*
        }
    };
}

unary! {
    abs Abs "`|x|`.",
    sign Sign "-1, 0 or 1.",
    square Square "`x²`.",
    sqrt Sqrt "`√x`.",
    reciprocal Reciprocal "`1 / x`.",
    exp Exp "`eˣ`.",
    expm1 Expm1 "`eˣ - 1`, with all digits near 0.",
    log Log "`ln x`.",
    sigmoid Sigmoid "`1 / (1 + e⁻ˣ)`.",
    tanh Tanh "The hyperbolic tangent.",
    softplus Softplus "`ln(1 + eˣ)`.",
    logical_not LogicalNot "Whether it is zero.",
    isfinite IsFinite "Whether it is neither infinite nor NaN.",
}

/// Methods whose right side is a tensor that broadcasts, or a number.
macro_rules! binary {
    ($($name:ident $op:ident $doc:literal),* $(,)?) => {
        impl Tensor {
            $(
                #[doc = $doc]
                #[must_use]
                pub fn $name<'a>(&self, right: impl Into<Operand<'a>>) -> Self {
                    self.binary(Binary::$op, right.into())
                }
            )*
        }
    };
}

binary! {
    pow Pow "`x` to that power.",
    minimum Minimum "The lesser of both.",
    maximum Maximum "The greater of both.",
    lt Lt "`x < y`.",
    le Le "`x ≤ y`.",
    gt Gt "`x > y`.",
    ge Ge "`x ≥ y`.",
    eq Eq "`x = y`.",
    ne Ne "`x ≠ y`.",
    logical_and LogicalAnd "Whether both are true.",
    logical_or LogicalOr "Whether one is true.",
    logaddexp LogAddExp "`ln(eˣ + eʸ)`.",
    nextafter NextAfter "The next number of the type in the direction of `y`.",
    floor_divide FloorDivide "`⌊x / y⌋`.",
    remainder Remainder "What is left of `x` after division by `y`.",
    bitwise_xor BitwiseXor "The bits that differ.",
    bitwise_right_shift BitwiseRightShift "The bits moved down.",
}

impl Tensor {
    /// The operation with a tensor or a number on the right side.
    #[must_use]
    pub fn binary(&self, op: Binary, right: Operand<'_>) -> Self {
        match right {
            Operand::Tensor(right) => self.make_with(right, |x, y| x.binary(op, y)),
            Operand::Scalar(right) => self.make(|x| x.binary_scalar(op, right)),
        }
    }

    /// `number` to the power of each element.
    #[must_use]
    pub fn power_of(&self, number: f64) -> Self {
        self.make(|x| x.power_of(number))
    }

    /// Clamps each element between `low` and `high`.
    #[must_use]
    pub fn clamp(&self, low: f64, high: f64) -> Self {
        self.make(|x| x.clamp(Some(low), Some(high)))
    }

    /// Clamps each element to at least `low`.
    #[must_use]
    pub fn clamp_min(&self, low: f64) -> Self {
        self.make(|x| x.clamp(Some(low), None))
    }

    /// Clamps each element to at most `high`.
    #[must_use]
    pub fn clamp_max(&self, high: f64) -> Self {
        self.make(|x| x.clamp(None, Some(high)))
    }

    /// Clamps each element between those of two tensors; gradient flows to the tensor that provides the value.
    #[must_use]
    pub fn clamp_between(&self, low: &Self, high: &Self) -> Self {
        self.make(|x| x.clamp_between(low.host_tensor()?, high.host_tensor()?))
    }

    /// `on_true` where this mask is true, `on_false` elsewhere. No gradient flows to the branch not taken, but where that
    /// branch is not finite, a gradient through it is NaN, as in torch.
    #[must_use]
    pub fn where_cond(&self, on_true: &Self, on_false: &Self) -> Self {
        let taken = |x: &dyn super::HostTensor| x.where_cond(on_true.host_tensor()?, on_false.host_tensor()?);
        self.make(taken)
    }

    /// `value` where `mask` is true; no gradient flows back from there.
    #[must_use]
    pub fn masked_fill(&self, mask: &Self, value: f64) -> Self {
        self.make_with(mask, |x, mask| x.masked_fill(mask, value))
    }

    /// The same memory as elements of another type.
    #[must_use]
    pub fn view_dtype(&self, dtype: DType) -> Self {
        self.make(|x| x.view_dtype(dtype))
    }

    /// Converts to another type; the tensor itself if it has that type.
    #[must_use]
    pub fn to_dtype(&self, dtype: DType) -> Self {
        if self.dtype() == dtype {
            return self.clone();
        }
        self.make(|x| x.to_dtype(dtype))
    }
}

/// An operator between tensors and numbers, owned or borrowed.
macro_rules! operator {
    ($($trait:ident $method:ident),*) => {
        $(
            operator!(@tensor $trait $method, Tensor, Tensor);
            operator!(@tensor $trait $method, Tensor, &Tensor);
            operator!(@tensor $trait $method, &Tensor, Tensor);
            operator!(@tensor $trait $method, &Tensor, &Tensor);
            operator!(@number $trait $method, f64);
            operator!(@number $trait $method, i64);
        )*
    };
    (@tensor $trait:ident $method:ident, $left:ty, $right:ty) => {
        impl $trait<$right> for $left {
            type Output = Tensor;

            fn $method(self, right: $right) -> Tensor {
                self.make_with(&right, |x, y| x.binary(Binary::$trait, y))
            }
        }
    };
    (@number $trait:ident $method:ident, $number:ty) => {
        impl $trait<$number> for Tensor {
            type Output = Tensor;

            fn $method(self, right: $number) -> Tensor {
                self.binary(Binary::$trait, right.into())
            }
        }

        impl $trait<$number> for &Tensor {
            type Output = Tensor;

            fn $method(self, right: $number) -> Tensor {
                self.binary(Binary::$trait, right.into())
            }
        }
    };
}

operator!(Add add, Sub sub, Mul mul, Div div);

/// An operator with a number on the left side.
macro_rules! mirrored {
    ($trait:ident $method:ident, |$number:ident, $tensor:ident| $value:expr) => {
        impl $trait<Tensor> for f64 {
            type Output = Tensor;

            fn $method(self, $tensor: Tensor) -> Tensor {
                let ($number, $tensor) = (self, &$tensor);
                $value
            }
        }

        impl $trait<&Tensor> for f64 {
            type Output = Tensor;

            fn $method(self, $tensor: &Tensor) -> Tensor {
                let $number = self;
                $value
            }
        }
    };
}

mirrored!(Add add, |number, tensor| tensor + number);
mirrored!(Sub sub, |number, tensor| -tensor + number);
mirrored!(Mul mul, |number, tensor| tensor * number);
mirrored!(Div div, |number, tensor| tensor.reciprocal().binary(Binary::Mul, number.into()));

impl Neg for &Tensor {
    type Output = Tensor;

    fn neg(self) -> Tensor {
        self.make(|x| x.unary(Unary::Neg))
    }
}

impl Neg for Tensor {
    type Output = Tensor;

    fn neg(self) -> Tensor {
        -&self
    }
}

impl Tensor {
    /// A new tensor of the same shape, type and device with one value everywhere.
    #[must_use]
    pub fn full_like(&self, value: impl Into<Scalar>) -> Self {
        self.make(|x| x.full(&x.size(), value.into(), x.dtype()))
    }

    /// Zeros of the same shape, type and device.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        self.full_like(0i64)
    }

    /// Ones of the same shape, type and device.
    #[must_use]
    pub fn ones_like(&self) -> Self {
        self.full_like(1i64)
    }

    /// A new tensor on the same device with one value everywhere.
    #[must_use]
    pub fn full(&self, size: &[i64], value: impl Into<Scalar>, dtype: DType) -> Self {
        self.make(|x| x.full(size, value.into(), dtype))
    }

    /// A new tensor of zeros on the same device.
    #[must_use]
    pub fn zeros(&self, size: &[i64], dtype: DType) -> Self {
        self.full(size, 0i64, dtype)
    }

    /// `0, 1, ..., count - 1` in int64 on the same device.
    #[must_use]
    pub fn arange(&self, count: i64) -> Self {
        self.make(|x| x.arange(count))
    }
}
