//! The interface's operations as calls of torch.

use super::convert::{self, PyTensor, dtype_object, operand, options};
use super::names::{self, scalar, with};
use super::state::{self, interrupting};
use super::torch::{Torch, torch};
use super::{memory, node};
use aent::tensor::{
    Axis, Backward, Binary, DType, Device, Differentiated, Guard, Host, HostTensor, Made, Reduce, Reshape,
    Scalar, Scatter, TensorError, Unary, Unusable,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::any::Any;
use std::ffi::c_void;

impl HostTensor for PyTensor {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn host(&self) -> &'static dyn Host {
        &Torch
    }

    fn share(&self) -> Box<dyn HostTensor> {
        Box::new(self.clone())
    }

    fn unusable(&self) -> Option<Unusable> {
        if self.usable().get().is_some() {
            return None;
        }
        let why = self.ask(|x| state::unusable(x, self.dtype())).unwrap_or_else(|| {
            let found = "one that cannot be asked what it is".to_owned();
            Some(Unusable { expected: "a plain tensor", found })
        });
        if why.is_none() {
            self.usable().get_or_init(|| ());
        }
        why
    }

    fn size(&self) -> Vec<i64> {
        self.size_or(|| self.ask(state::shape)).cloned().unwrap_or_default()
    }

    fn stride(&self) -> Vec<i64> {
        self.stride_or(|| self.ask(state::stride)).cloned().unwrap_or_default()
    }

    fn dtype(&self) -> DType {
        self.dtype_or(|| self.ask(convert::dtype)).unwrap_or(DType::Other("another type"))
    }

    fn device(&self) -> Device {
        self.device_or(|| self.ask(convert::device)).unwrap_or(Device::Other("another device"))
    }

    fn requires_grad(&self) -> bool {
        self.ask(|x| x.getattr(intern!(x.py(), "requires_grad"))?.is_truthy()).unwrap_or(false)
    }

    fn unary(&self, op: Unary) -> Made {
        if op == Unary::Softplus {
            return interrupting(|py| {
                let functional = py.import(intern!(py, "torch.nn.functional"))?;
                // From the threshold on it is `x`: at torch's 20 that lacks 2e-9, at 40 less than rounding.
                let (beta, threshold) = (1.0, 40.0);
                self.made_by(py, |x| functional.call_method1(intern!(py, "softplus"), (x, beta, threshold)))
            });
        }
        self.call0(|py| names::unary(py, op))
    }

    fn binary(&self, op: Binary, right: &dyn HostTensor) -> Made {
        with!(|py, right| self.made_by(py, |x| x.call_method1(names::binary(py, op), (right,))))
    }

    fn binary_scalar(&self, op: Binary, right: Scalar) -> Made {
        interrupting(|py| {
            let number = scalar(py, right)?;
            self.made_by(py, |x| match op {
                Binary::Minimum => x.call_method1(intern!(py, "clamp_max"), (number,)),
                Binary::Maximum => x.call_method1(intern!(py, "clamp_min"), (number,)),
                Binary::LogicalAnd | Binary::LogicalOr | Binary::LogAddExp | Binary::NextAfter => {
                    let number = x.call_method1(intern!(py, "new_full"), ((), number))?;
                    x.call_method1(names::binary(py, op), (number,))
                }
                _ => x.call_method1(names::binary(py, op), (number,)),
            })
        })
    }

    fn power_of(&self, number: f64) -> Made {
        interrupting(|py| {
            let torch = torch(py)?;
            self.made_by(py, |x| torch.call_method1(intern!(py, "pow"), (number, x)))
        })
    }

    fn clamp(&self, low: Option<f64>, high: Option<f64>) -> Made {
        if self.lies_between(low, high) {
            return Ok(self.share());
        }
        interrupting(|py| self.made_by(py, |x| x.call_method1(intern!(py, "clamp"), (low, high))))
    }

    fn clamp_between(&self, low: &dyn HostTensor, high: &dyn HostTensor) -> Made {
        with!(|py, low, high| self.made_by(py, |x| x.call_method1(intern!(py, "clamp"), (low, high))))
    }

    fn where_cond(&self, on_true: &dyn HostTensor, on_false: &dyn HostTensor) -> Made {
        with!(|py, on_true, on_false| {
            self.made_by(py, |x| on_true.call_method1(intern!(py, "where"), (x, on_false)))
        })
    }

    fn masked_fill(&self, mask: &dyn HostTensor, value: f64) -> Made {
        with!(|py, mask| self.made_by(py, |x| x.call_method1(intern!(py, "masked_fill"), (mask, value))))
    }

    fn reduce(&self, op: Reduce, dims: &[i64], keep: bool, dtype: Option<DType>) -> Made {
        interrupting(|py| {
            if dims.is_empty() && dtype.is_none() {
                return self.made_by(py, |x| x.call_method0(names::reduce(py, op)));
            }
            let options = options(py, dtype)?;
            if !dims.is_empty() {
                options.set_item(intern!(py, "dim"), dims)?;
                options.set_item(intern!(py, "keepdim"), keep)?;
            }
            self.made_by(py, |x| x.call_method(names::reduce(py, op), (), Some(&options)))
        })
    }

    fn axis(&self, op: Axis, dim: i64, dtype: Option<DType>) -> Made {
        interrupting(|py| {
            let options = options(py, dtype)?;
            self.made_by(py, |x| x.call_method(names::axis(py, op), (dim,), Some(&options)))
        })
    }

    fn sort(&self, dim: i64, descending: bool) -> Result<[Box<dyn HostTensor>; 2], TensorError> {
        interrupting(|py| {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "stable"), true)?;
            options.set_item(intern!(py, "dim"), dim)?;
            options.set_item(intern!(py, "descending"), descending)?;
            let sorted = self.bind(py).call_method(intern!(py, "sort"), (), Some(&options))?;
            Ok([Self::boxed(sorted.get_item(0)?), Self::boxed(sorted.get_item(1)?)])
        })
    }

    fn topk(&self, k: i64) -> Made {
        interrupting(|py| {
            self.made_by(py, |x| x.call_method1(intern!(py, "topk"), (k, -1, true, false))?.get_item(0))
        })
    }

    fn unique(&self) -> Result<(Box<dyn HostTensor>, i64), TensorError> {
        interrupting(|py| {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "return_inverse"), true)?;
            let found = self.bind(py).call_method(intern!(py, "unique"), (), Some(&options))?;
            let count = found.get_item(0)?.call_method0(intern!(py, "numel"))?.extract()?;
            Ok((Self::boxed(found.get_item(1)?), count))
        })
    }

    fn index_select(&self, dim: i64, index: &dyn HostTensor) -> Made {
        with!(|py, index| self.made_by(py, |x| x.call_method1(intern!(py, "index_select"), (dim, index))))
    }

    fn gather(&self, dim: i64, index: &dyn HostTensor) -> Made {
        with!(|py, index| self.made_by(py, |x| x.call_method1(intern!(py, "gather"), (dim, index))))
    }

    fn scatter(&self, op: Scatter, dim: i64, index: &dyn HostTensor, values: &dyn HostTensor) -> Made {
        with!(|py, index, values| {
            self.made_by(py, |x| x.call_method1(names::scatter(py, op), (dim, index, values)))
        })
    }

    fn index_fill(&self, dim: i64, index: &dyn HostTensor, value: Scalar) -> Made {
        with!(|py, index| {
            let value = scalar(py, value)?;
            self.made_by(py, |x| x.call_method1(intern!(py, "index_fill"), (dim, index, value)))
        })
    }

    fn at(&self, places: [&dyn HostTensor; 2]) -> Made {
        let [first, second] = places;
        with!(|py, first, second| self.made_by(py, |x| x.get_item((first, second))))
    }

    fn put_at_(&self, places: [&dyn HostTensor; 2], values: &dyn HostTensor) -> Result<(), TensorError> {
        let [first, second] = places;
        with!(|py, first, second, values| {
            let places = (first, second);
            self.bind(py).call_method1(intern!(py, "index_put_"), (places, values)).map(drop)
        })
    }

    fn nonzero(&self) -> Made {
        self.call0(|py| intern!(py, "nonzero"))
    }

    fn reshape(&self, shape: Reshape<'_>) -> Made {
        interrupting(|py| {
            self.made_by(py, |x| match shape {
                Reshape::To(size) => x.call_method1(intern!(py, "reshape"), (size,)),
                Reshape::Expand(size) => x.call_method1(intern!(py, "expand"), (size,)),
                Reshape::Unsqueeze(dim) => x.call_method1(intern!(py, "unsqueeze"), (dim,)),
                Reshape::Squeeze(dim) => x.call_method1(intern!(py, "squeeze"), (dim,)),
                Reshape::Flatten(from, to) => x.call_method1(intern!(py, "flatten"), (from, to)),
                Reshape::Narrow(dim, start, length) => {
                    x.call_method1(intern!(py, "narrow"), (dim, start, length))
                }
                Reshape::Transpose => x.call_method0(intern!(py, "t")),
                Reshape::Pad(before, after) => {
                    let functional = py.import(intern!(py, "torch.nn.functional"))?;
                    functional.call_method1(intern!(py, "pad"), (x, (before, after)))
                }
                Reshape::Contiguous => x.call_method0(intern!(py, "contiguous")),
                _ => x.getattr("an operation that this version does not know"),
            })
        })
    }

    fn cat(&self, others: &[&dyn HostTensor], dim: i64) -> Made {
        interrupting(|py| {
            let mut tensors = vec![self.bind(py).clone()];
            for other in others {
                tensors.push(operand(py, *other)?.clone());
            }
            torch(py)?.call_method1(intern!(py, "cat"), (tensors, dim)).map(Self::boxed)
        })
    }

    fn mm(&self, right: &dyn HostTensor) -> Made {
        with!(|py, right| self.made_by(py, |x| x.call_method1(intern!(py, "mm"), (right,))))
    }

    fn linear(&self, weight: &dyn HostTensor, bias: Option<&dyn HostTensor>) -> Made {
        interrupting(|py| {
            let weight = operand(py, weight)?;
            let bias = bias.map(|bias| operand(py, bias)).transpose()?;
            let functional = py.import(intern!(py, "torch.nn.functional"))?;
            self.made_by(py, |x| functional.call_method1(intern!(py, "linear"), (x, weight, bias)))
        })
    }

    fn copy_(&self, from: &dyn HostTensor) -> Result<(), TensorError> {
        with!(|py, from| self.bind(py).call_method1(intern!(py, "copy_"), (from,)).map(drop))
    }

    fn add_(&self, other: &dyn HostTensor) -> Result<(), TensorError> {
        with!(|py, other| self.bind(py).call_method1(intern!(py, "add_"), (other,)).map(drop))
    }

    fn addmm_(&self, left: &dyn HostTensor, right: &dyn HostTensor) -> Result<(), TensorError> {
        with!(|py, left, right| {
            self.bind(py).call_method1(intern!(py, "addmm_"), (left, right)).map(drop)
        })
    }

    fn to_dtype(&self, dtype: DType) -> Made {
        interrupting(|py| {
            let dtype = dtype_object(py, dtype)?;
            self.made_by(py, |x| x.call_method1(intern!(py, "to"), (dtype,)))
        })
    }

    fn view_dtype(&self, dtype: DType) -> Made {
        interrupting(|py| {
            let dtype = dtype_object(py, dtype)?;
            self.made_by(py, |x| x.call_method1(intern!(py, "view"), (dtype,)))
        })
    }

    fn to_device(&self, device: Device) -> Made {
        interrupting(|py| self.made_by(py, |x| x.call_method1(intern!(py, "to"), (device.to_string(),))))
    }

    fn full(&self, size: &[i64], value: Scalar, dtype: DType) -> Made {
        interrupting(|py| {
            let value = scalar(py, value)?;
            let other = self.other(py, dtype)?;
            self.made_by(py, |x| x.call_method(intern!(py, "new_full"), (size, value), other.as_ref()))
        })
    }

    fn empty(&self, size: &[i64], dtype: DType) -> Made {
        interrupting(|py| {
            let other = self.other(py, dtype)?;
            let size = names::sizes(py, size)?;
            self.made_by(py, |x| x.call_method(intern!(py, "new_empty"), size, other.as_ref()))
        })
    }

    fn arange(&self, count: i64) -> Made {
        interrupting(|py| {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "device"), self.bind(py).getattr(intern!(py, "device"))?)?;
            let torch = torch(py)?;
            Ok(Self::boxed(torch.call_method(intern!(py, "arange"), (count,), Some(&options))?))
        })
    }

    fn detach(&self) -> Made {
        self.call0(|py| intern!(py, "detach"))
    }

    fn leaf(&self) -> Made {
        interrupting(|py| {
            self.made_by(py, |x| {
                x.call_method0(intern!(py, "detach"))?.call_method1(intern!(py, "requires_grad_"), (true,))
            })
        })
    }

    fn grad(&self) -> Option<Box<dyn HostTensor>> {
        self.ask(|x| {
            let gradient = x.getattr(intern!(x.py(), "grad"))?;
            Ok((!gradient.is_none()).then(|| Self::boxed(gradient)))
        })?
    }

    fn backward(&self) -> Result<(), TensorError> {
        interrupting(|py| self.bind(py).call_method0(intern!(py, "backward")).map(drop))
    }

    fn attach(&self, tensors: Differentiated<'_>, backward: Box<dyn Backward>) -> Made {
        interrupting(|py| node::attach(self.bind(py), &tensors, backward))
    }

    fn read(&self, dtype: DType, to: &mut [u8]) -> Result<(), TensorError> {
        interrupting(|py| {
            let x = self.bind(py);
            if to.len() == dtype.bytes() {
                return memory::number(&x.call_method0(intern!(py, "item"))?, dtype, to);
            }
            if let Some(place) = memory::plain(x, self.dtype(), dtype, to.len())? {
                memory::read(&place, to);
                return Ok(());
            }
            if to.is_empty() || state::is_zero(x)? {
                to.fill(0);
                return Ok(());
            }
            let here = x.call_method0(intern!(py, "detach"))?;
            let here = here.call_method1(intern!(py, "to"), ("cpu", dtype_object(py, dtype)?))?;
            let here =
                here.call_method0(intern!(py, "resolve_neg"))?.call_method0(intern!(py, "contiguous"))?;
            let place = memory::plain(&here, dtype, dtype, to.len())?;
            let without = || PyRuntimeError::new_err("a tensor without values in memory");
            memory::read(&place.ok_or_else(without)?, to);
            Ok(())
        })
    }

    fn equal(&self, other: &dyn HostTensor) -> Result<bool, TensorError> {
        with!(|py, other| self.bind(py).call_method1(intern!(py, "equal"), (other,))?.is_truthy())
    }

    fn pointer(&self) -> Option<*mut c_void> {
        let (size, stride, dtype) = (self.size(), self.stride(), self.dtype());
        let pointer = |x: &Bound<'_, PyAny>| state::pointer(x, &size, &stride, dtype.bytes());
        // Tensors of classes that wrap others refuse to be asked.
        let pointer = self.ask(|x| Ok(pointer(x).unwrap_or(None)))??;
        Some(pointer as *mut c_void)
    }

    fn is_negated(&self) -> bool {
        self.ask(|x| x.call_method0(intern!(x.py(), "is_neg"))?.is_truthy()).unwrap_or(false)
    }

    fn resolve_neg(&self) -> Made {
        self.call0(|py| intern!(py, "resolve_neg"))
    }

    fn has_tangent(&self) -> bool {
        self.ask(state::has_tangent).unwrap_or(false)
    }

    fn autocast_dtype(&self) -> Option<DType> {
        self.ask(|x| state::autocast_dtype(x, self.device()))?
    }

    fn no_autocast(&self) -> Guard {
        Box::new(self.ask(|x| state::NoAutocast::new(x, self.device())))
    }
}
