//! The operations of `HostTensor` as calls to tch.

use std::any::Any;
use std::ffi::c_void;

use tch::{Device as TchDevice, Kind, Scalar as TchScalar, TchError, Tensor};

use super::tensor::{device, kind};
use super::{Libtorch, boxed, failed, node, of, state};
use crate::tensor::{
    Axis, Backward, Binary, DType, Device, Differentiated, Guard, Host, HostTensor, Made, Reduce, Reshape,
    Scalar, Scatter, TensorError, Unary, Unusable,
};

impl From<Scalar> for TchScalar {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Float(number) => number.into(),
            Scalar::Int(number) => number.into(),
        }
    }
}

impl HostTensor for Tensor {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn host(&self) -> &'static dyn Host {
        &Libtorch
    }

    fn share(&self) -> Box<dyn HostTensor> {
        Box::new(self.shallow_clone())
    }

    fn unusable(&self) -> Option<Unusable> {
        state::unusable(self)
    }

    fn size(&self) -> Vec<i64> {
        self.size()
    }

    fn stride(&self) -> Vec<i64> {
        self.stride()
    }

    fn dtype(&self) -> DType {
        state::dtype(self)
    }

    fn device(&self) -> Device {
        self.device().into()
    }

    fn requires_grad(&self) -> bool {
        self.requires_grad()
    }

    fn unary(&self, op: Unary) -> Made {
        boxed(match op {
            Unary::Neg => self.f_neg(),
            Unary::Abs => self.f_abs(),
            Unary::Sign => self.f_sign(),
            Unary::Square => self.f_square(),
            Unary::Sqrt => self.f_sqrt(),
            Unary::Reciprocal => self.f_reciprocal(),
            Unary::Exp => self.f_exp(),
            Unary::Expm1 => self.f_expm1(),
            Unary::Log => self.f_log(),
            Unary::Sigmoid => self.f_sigmoid(),
            Unary::Tanh => self.f_tanh(),
            // Torch's own is `x` from 20 on, which lacks 2e-9. Zero minus the logarithm is never the zero below zero.
            Unary::Softplus => {
                self.f_neg().and_then(|x| x.f_log_sigmoid()).and_then(|x| x.f_rsub_scalar(0.0))
            }
            Unary::LogicalNot => self.f_logical_not(),
            Unary::IsFinite => self.f_isfinite(),
        })
    }

    fn binary(&self, op: Binary, right: &dyn HostTensor) -> Made {
        let right = of(right)?;
        boxed(match op {
            Binary::Add => self.f_add(right),
            Binary::Sub => self.f_sub(right),
            Binary::Mul => self.f_mul(right),
            Binary::Div => self.f_div(right),
            Binary::Pow => self.f_pow(right),
            Binary::Minimum => self.f_minimum(right),
            Binary::Maximum => self.f_maximum(right),
            Binary::Lt => self.f_lt_tensor(right),
            Binary::Le => self.f_le_tensor(right),
            Binary::Gt => self.f_gt_tensor(right),
            Binary::Ge => self.f_ge_tensor(right),
            Binary::Eq => self.f_eq_tensor(right),
            Binary::Ne => self.f_ne_tensor(right),
            Binary::LogicalAnd => self.f_logical_and(right),
            Binary::LogicalOr => self.f_logical_or(right),
            Binary::LogAddExp => self.f_logaddexp(right),
            Binary::NextAfter => self.f_nextafter(right),
            Binary::FloorDivide => self.f_floor_divide(right),
            Binary::Remainder => self.f_remainder_tensor(right),
            Binary::BitwiseXor => self.f_bitwise_xor_tensor(right),
            Binary::BitwiseRightShift => self.f_bitwise_right_shift(right),
        })
    }

    fn binary_scalar(&self, op: Binary, right: Scalar) -> Made {
        boxed(match op {
            Binary::Add => self.f_add_scalar(right),
            Binary::Sub => self.f_sub_scalar(right),
            Binary::Mul => self.f_mul_scalar(right),
            Binary::Div => self.f_div_scalar(right),
            Binary::Pow => self.f_pow_tensor_scalar(right),
            Binary::Minimum => self.f_clamp_max(right),
            Binary::Maximum => self.f_clamp_min(right),
            Binary::Lt => self.f_lt(right),
            Binary::Le => self.f_le(right),
            Binary::Gt => self.f_gt(right),
            Binary::Ge => self.f_ge(right),
            Binary::Eq => self.f_eq(right),
            Binary::Ne => self.f_ne(right),
            Binary::FloorDivide => self.f_floor_divide_scalar(right),
            Binary::Remainder => self.f_remainder(right),
            Binary::BitwiseXor => self.f_bitwise_xor(right),
            Binary::BitwiseRightShift => self.f_bitwise_right_shift_tensor_scalar(right),
            Binary::LogicalAnd | Binary::LogicalOr | Binary::LogAddExp | Binary::NextAfter => {
                let right = Tensor::f_full([0i64; 0], right, (self.kind(), self.device())).map_err(failed)?;
                return self.binary(op, &right);
            }
        })
    }

    fn power_of(&self, number: f64) -> Made {
        boxed(Self::f_pow_scalar(number, self))
    }

    fn clamp(&self, low: Option<f64>, high: Option<f64>) -> Made {
        boxed(match (low, high) {
            (Some(low), Some(high)) => self.f_clamp(low, high),
            (Some(low), None) => self.f_clamp_min(low),
            (None, Some(high)) => self.f_clamp_max(high),
            (None, None) => Ok(self.shallow_clone()),
        })
    }

    fn clamp_between(&self, low: &dyn HostTensor, high: &dyn HostTensor) -> Made {
        boxed(self.f_clamp_tensor(Some(of(low)?), Some(of(high)?)))
    }

    fn where_cond(&self, on_true: &dyn HostTensor, on_false: &dyn HostTensor) -> Made {
        boxed(of(on_true)?.f_where_self(self, of(on_false)?))
    }

    fn masked_fill(&self, mask: &dyn HostTensor, value: f64) -> Made {
        boxed(self.f_masked_fill(of(mask)?, value))
    }

    fn reduce(&self, op: Reduce, dims: &[i64], keep: bool, dtype: Option<DType>) -> Made {
        let dtype = dtype.map(kind).transpose()?;
        boxed(match (op, dims) {
            (Reduce::Sum, []) => self.f_sum(dtype),
            (Reduce::Sum, _) => self.f_sum_dim_intlist(dims, keep, dtype),
            (Reduce::Amax, _) => self.f_amax(dims, keep),
            (Reduce::Amin, _) => self.f_amin(dims, keep),
            (Reduce::Any, []) => self.f_any(),
            (Reduce::Any, _) => self.f_any_dims(dims, keep),
            (Reduce::All, []) => self.f_all(),
            (Reduce::All, _) => self.f_all_dims(dims, keep),
            (Reduce::LogSumExp, _) => self.f_logsumexp(dims, keep),
        })
    }

    fn axis(&self, op: Axis, dim: i64, dtype: Option<DType>) -> Made {
        let dtype = dtype.map(kind).transpose()?;
        boxed(match op {
            Axis::Cumsum => self.f_cumsum(dim, dtype),
            Axis::LogSoftmax => self.f_log_softmax(dim, dtype),
        })
    }

    fn sort(&self, dim: i64, descending: bool) -> Result<[Box<dyn HostTensor>; 2], TensorError> {
        let (values, order) = self.f_sort_stable(true, dim, descending).map_err(failed)?;
        Ok([Box::new(values), Box::new(order)])
    }

    fn topk(&self, k: i64) -> Made {
        boxed(self.f_topk(k, -1, true, false).map(|(values, _)| values))
    }

    fn unique(&self) -> Result<(Box<dyn HostTensor>, i64), TensorError> {
        // What `torch.unique` calls; `unique_dim` takes thirty times as long.
        let (values, index, _) = self.f_internal_unique2(true, true, false).map_err(failed)?;
        Ok((Box::new(index), values.size()[0]))
    }

    fn index_select(&self, dim: i64, index: &dyn HostTensor) -> Made {
        boxed(self.f_index_select(dim, of(index)?))
    }

    fn gather(&self, dim: i64, index: &dyn HostTensor) -> Made {
        boxed(self.f_gather(dim, of(index)?, false))
    }

    fn scatter(&self, op: Scatter, dim: i64, index: &dyn HostTensor, values: &dyn HostTensor) -> Made {
        let (index, values) = (of(index)?, of(values)?);
        boxed(match op {
            Scatter::IndexAdd => self.f_index_add(dim, index, values),
            Scatter::IndexCopy => self.f_index_copy(dim, index, values),
            Scatter::ScatterAdd => self.f_scatter_add(dim, index, values),
        })
    }

    fn index_fill(&self, dim: i64, index: &dyn HostTensor, value: Scalar) -> Made {
        boxed(self.f_index_fill(dim, of(index)?, value))
    }

    fn at(&self, places: [&dyn HostTensor; 2]) -> Made {
        boxed(self.f_index(&[Some(of(places[0])?), Some(of(places[1])?)]))
    }

    fn put_at_(&self, places: [&dyn HostTensor; 2], values: &dyn HostTensor) -> Result<(), TensorError> {
        let places = [Some(of(places[0])?), Some(of(places[1])?)];
        changed(self.shallow_clone().f_index_put_(&places, of(values)?, false))
    }

    fn nonzero(&self) -> Made {
        boxed(self.f_nonzero())
    }

    fn reshape(&self, shape: Reshape<'_>) -> Made {
        boxed(match shape {
            Reshape::To(size) => self.f_reshape(size),
            Reshape::Expand(size) => self.f_expand(size, false),
            Reshape::Unsqueeze(dim) => self.f_unsqueeze(dim),
            Reshape::Squeeze(dim) => self.f_squeeze_dim(dim),
            Reshape::Flatten(from, to) => self.f_flatten(from, to),
            Reshape::Narrow(dim, start, length) => self.f_narrow(dim, start, length),
            Reshape::Transpose => self.f_tr(),
            Reshape::Pad(before, after) => self.f_constant_pad_nd([before, after]),
            Reshape::Contiguous => self.f_contiguous(),
        })
    }

    fn cat(&self, others: &[&dyn HostTensor], dim: i64) -> Made {
        let mut tensors = vec![self];
        for other in others {
            tensors.push(of(*other)?);
        }
        boxed(Self::f_cat(&tensors, dim))
    }

    fn mm(&self, right: &dyn HostTensor) -> Made {
        boxed(self.f_mm(of(right)?))
    }

    fn linear(&self, weight: &dyn HostTensor, bias: Option<&dyn HostTensor>) -> Made {
        boxed(self.f_linear(of(weight)?, bias.map(of).transpose()?))
    }

    fn copy_(&self, from: &dyn HostTensor) -> Result<(), TensorError> {
        self.shallow_clone().f_copy_(of(from)?).map_err(failed)
    }

    fn add_(&self, other: &dyn HostTensor) -> Result<(), TensorError> {
        changed(self.shallow_clone().f_add_(of(other)?))
    }

    fn addmm_(&self, left: &dyn HostTensor, right: &dyn HostTensor) -> Result<(), TensorError> {
        changed(self.shallow_clone().f_addmm_(of(left)?, of(right)?))
    }

    fn to_dtype(&self, dtype: DType) -> Made {
        boxed(self.f_to_kind(kind(dtype)?))
    }

    fn view_dtype(&self, dtype: DType) -> Made {
        boxed(self.f_view_dtype(kind(dtype)?))
    }

    fn to_device(&self, to: Device) -> Made {
        boxed(self.f_to_device(device(to)?))
    }

    fn full(&self, size: &[i64], value: Scalar, dtype: DType) -> Made {
        let options = (kind(dtype)?, self.device());
        boxed(match value {
            Scalar::Int(0) | Scalar::Float(0.0) => Self::f_zeros(size, options),
            value => Self::f_full(size, value, options),
        })
    }

    fn empty(&self, size: &[i64], dtype: DType) -> Made {
        boxed(Self::f_empty(size, (kind(dtype)?, self.device())))
    }

    fn arange(&self, count: i64) -> Made {
        boxed(Self::f_arange(count, (Kind::Int64, self.device())))
    }

    fn detach(&self) -> Made {
        boxed(self.f_detach())
    }

    fn leaf(&self) -> Made {
        boxed(self.f_detach().and_then(|alias| alias.f_set_requires_grad(true)))
    }

    fn grad(&self) -> Option<Box<dyn HostTensor>> {
        let gradient = self.f_grad().ok().filter(Tensor::defined)?;
        Some(Box::new(gradient))
    }

    fn backward(&self) -> Result<(), TensorError> {
        self.f_backward().map_err(failed)
    }

    fn attach(&self, node: Differentiated<'_>, backward: Box<dyn Backward>) -> Made {
        node::attach(self, &node, backward)
    }

    fn read(&self, dtype: DType, to: &mut [u8]) -> Result<(), TensorError> {
        if state::is_zero(self) {
            // Torch marks the tensor as zeros without filling its memory.
            to.fill(0);
            return Ok(());
        }
        let kind = kind(dtype)?;
        let flat = (|| {
            let here = self.f_detach()?.f_to_device(TchDevice::Cpu)?.f_to_kind(kind)?;
            here.f_resolve_neg()?.f_contiguous()?.f_view(-1)
        })();
        let flat = flat.map_err(failed)?;
        if flat.pointer().is_none() {
            return Err(TensorError::new("a tensor without values in memory"));
        }
        flat.f_copy_data_u8(to, flat.numel()).map_err(failed)
    }

    fn equal(&self, other: &dyn HostTensor) -> Result<bool, TensorError> {
        self.f_equal(of(other)?).map_err(failed)
    }

    fn pointer(&self) -> Option<*mut c_void> {
        state::is_readable(self).then(|| self.data_ptr())
    }

    fn is_negated(&self) -> bool {
        state::is_negated(self)
    }

    fn resolve_neg(&self) -> Made {
        boxed(self.f_resolve_neg())
    }

    fn has_tangent(&self) -> bool {
        state::has_tangent(self)
    }

    fn autocast_dtype(&self) -> Option<DType> {
        state::autocast_kind(self).map(DType::from)
    }

    fn no_autocast(&self) -> Guard {
        Box::new(state::NoAutocast::new())
    }
}

fn changed(done: Result<Tensor, TchError>) -> Result<(), TensorError> {
    done.map(drop).map_err(failed)
}
