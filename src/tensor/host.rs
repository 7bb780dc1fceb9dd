//! What a host implements.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::path::PathBuf;

use super::{
    Axis, Backward, Binary, DType, Device, Differentiated, Reduce, Reshape, Scalar, Scatter, TensorError,
    Unary,
};

/// A new tensor, or why there is none.
pub type Made = Result<Box<dyn HostTensor>, TensorError>;

/// A setting of this thread that lasts until it is dropped.
pub type Guard = Box<dyn Any>;

/// Why no operation can take a tensor.
#[derive(Clone, Debug)]
pub struct Unusable {
    /// What would have been right.
    pub expected: &'static str,
    /// What came, and how it becomes what is expected.
    pub found: String,
}

/// A library of tensors.
pub trait Host: fmt::Debug + Sync {
    /// Its name in messages, as in `libtorch`.
    fn name(&self) -> &'static str;

    /// A tensor on the CPU whose elements lie in memory like these bytes, which are copied.
    fn tensor(&self, dtype: DType, size: &[i64], bytes: &[u8]) -> Made;

    /// Keeps gradients from being recorded in this thread (`false`), or records them again (`true`).
    fn record_gradient(&self, record: bool) -> Guard;

    /// Runs work that touches no tensor of the host, with whatever lock the host's language has given back meanwhile.
    fn unlocked(&self, work: &mut (dyn FnMut() + Send)) {
        work();
    }

    /// How many threads an operation on the CPU may use.
    fn threads(&self) -> usize;

    /// How many GPUs can be used, or why none.
    fn cuda_devices(&self) -> Result<usize, TensorError>;

    /// Waits for all that was asked of a device, so that a clock can be read.
    fn synchronize(&self, device: Device);

    /// The current stream of a GPU, as the driver knows it.
    fn cuda_stream(&self, ordinal: usize) -> Result<*mut c_void, TensorError>;

    /// The folder where Python's packages are that brought this library, if they did.
    fn packages(&self) -> Option<PathBuf>;
}

/// A tensor of a host. Binary operations take tensors of the same host.
///
/// Whatever a method gives is a new tensor, attached to the graph of its operands where gradients are recorded; only names that
/// end in `_` change the tensor itself.
pub trait HostTensor: fmt::Debug + Send {
    /// For the host to find its own tensors again.
    fn as_any(&self) -> &dyn Any;

    /// The library that it belongs to.
    fn host(&self) -> &'static dyn Host;

    /// Another handle to the same tensor.
    fn share(&self) -> Box<dyn HostTensor>;

    /// Why no operation can take it, if none can. The other methods may be asked of a usable one only.
    fn unusable(&self) -> Option<Unusable>;

    /// The sizes of its dimensions.
    fn size(&self) -> Vec<i64>;

    /// How many elements each dimension steps over.
    fn stride(&self) -> Vec<i64>;

    /// The type of its elements.
    fn dtype(&self) -> DType;

    /// Where it lies.
    fn device(&self) -> Device;

    /// Whether a gradient flows to it.
    fn requires_grad(&self) -> bool;

    /// An operation on each element.
    fn unary(&self, op: Unary) -> Made;

    /// An operation with another tensor on the right side.
    fn binary(&self, op: Binary, right: &dyn HostTensor) -> Made;

    /// An operation with a number on the right side.
    fn binary_scalar(&self, op: Binary, right: Scalar) -> Made;

    /// `number` to the power of each element.
    fn power_of(&self, number: f64) -> Made;

    /// No less than `low` and no more than `high`.
    fn clamp(&self, low: Option<f64>, high: Option<f64>) -> Made;

    /// No less than one tensor and no more than another.
    fn clamp_between(&self, low: &dyn HostTensor, high: &dyn HostTensor) -> Made;

    /// Of truth values: the one where true, the other elsewhere.
    fn where_cond(&self, on_true: &dyn HostTensor, on_false: &dyn HostTensor) -> Made;

    /// The value where `mask` is true.
    fn masked_fill(&self, mask: &dyn HostTensor, value: f64) -> Made;

    /// Along the dimensions, all of them if none is named; a sum in the type that is given.
    fn reduce(&self, op: Reduce, dims: &[i64], keep: bool, dtype: Option<DType>) -> Made;

    /// Along a dimension, a sum in the type that is given.
    fn axis(&self, op: Axis, dim: i64, dtype: Option<DType>) -> Made;

    /// The elements along a dimension in order, equal ones as they were, and where they were.
    fn sort(&self, dim: i64, descending: bool) -> Result<[Box<dyn HostTensor>; 2], TensorError>;

    /// The `k` greatest along the last dimension, in any order.
    fn topk(&self, k: i64) -> Made;

    /// Of whole numbers along the one dimension: which of the different ones each is, counted from 0, and how many there are.
    fn unique(&self) -> Result<(Box<dyn HostTensor>, i64), TensorError>;

    /// Elements along a dimension by their numbers, `[K]`.
    fn index_select(&self, dim: i64, index: &dyn HostTensor) -> Made;

    /// One element along a dimension for each index, of the index's shape.
    fn gather(&self, dim: i64, index: &dyn HostTensor) -> Made;

    /// A copy with values put at indices along a dimension.
    fn scatter(&self, op: Scatter, dim: i64, index: &dyn HostTensor, values: &dyn HostTensor) -> Made;

    /// A copy with a value at indices along a dimension.
    fn index_fill(&self, dim: i64, index: &dyn HostTensor, value: Scalar) -> Made;

    /// What lies at places of the first two dimensions, `[K, ...]`.
    fn at(&self, places: [&dyn HostTensor; 2]) -> Made;

    /// Puts values, or one for all, at places of the first two dimensions.
    fn put_at_(&self, places: [&dyn HostTensor; 2], values: &dyn HostTensor) -> Result<(), TensorError>;

    /// The places of all elements that are not zero, `[K, D]`.
    fn nonzero(&self) -> Made;

    /// Another shape.
    fn reshape(&self, shape: Reshape<'_>) -> Made;

    /// Tensors one after the other along a dimension; this one is the first.
    fn cat(&self, others: &[&dyn HostTensor], dim: i64) -> Made;

    /// The product of two matrices.
    fn mm(&self, right: &dyn HostTensor) -> Made;

    /// `self · weightᵀ + bias`.
    fn linear(&self, weight: &dyn HostTensor, bias: Option<&dyn HostTensor>) -> Made;

    /// Takes over another tensor's elements.
    fn copy_(&self, from: &dyn HostTensor) -> Result<(), TensorError>;

    /// Adds another tensor.
    fn add_(&self, other: &dyn HostTensor) -> Result<(), TensorError>;

    /// Adds the product of two matrices.
    fn addmm_(&self, left: &dyn HostTensor, right: &dyn HostTensor) -> Result<(), TensorError>;

    /// In another type; the tensor itself if it has that.
    fn to_dtype(&self, dtype: DType) -> Made;

    /// The same memory as elements of another type of the same width, or as more or fewer of another width.
    fn view_dtype(&self, dtype: DType) -> Made;

    /// On another device; the tensor itself if it is there.
    fn to_device(&self, device: Device) -> Made;

    /// A new tensor on the same device with one value everywhere.
    fn full(&self, size: &[i64], value: Scalar, dtype: DType) -> Made;

    /// A new tensor on the same device whose elements are not set.
    fn empty(&self, size: &[i64], dtype: DType) -> Made;

    /// `0, 1, ..., count - 1` in int64 on the same device.
    fn arange(&self, count: i64) -> Made;

    /// The same elements without a gradient.
    fn detach(&self) -> Made;

    /// The same elements as a leaf that gradients flow to.
    fn leaf(&self) -> Made;

    /// The gradient that reached a leaf, if one did.
    fn grad(&self) -> Option<Box<dyn HostTensor>>;

    /// Sends the gradient of a scalar back through the graph.
    fn backward(&self) -> Result<(), TensorError>;

    /// The result of `node` as a result of its inputs, in the host's graph.
    fn attach(&self, node: Differentiated<'_>, backward: Box<dyn Backward>) -> Made;

    /// Writes all elements in order and in that type, with a wait for the device; there is room for exactly so many.
    fn read(&self, dtype: DType, to: &mut [u8]) -> Result<(), TensorError>;

    /// Whether both have the same sizes and elements.
    fn equal(&self, other: &dyn HostTensor) -> Result<bool, TensorError>;

    /// Where the first element lies, if the tensor has memory of its own; for kernels that follow strides.
    fn pointer(&self) -> Option<*mut c_void>;

    /// Whether what lies in memory are the negatives of the values.
    fn is_negated(&self) -> bool;

    /// The tensor with its values in memory as they are.
    fn resolve_neg(&self) -> Made;

    /// Whether forward-mode differentiation goes through it.
    fn has_tangent(&self) -> bool;

    /// The type in which automatic mixed precision computes matrix products on its device, where it is on.
    fn autocast_dtype(&self) -> Option<DType>;

    /// Keeps automatic mixed precision on its device out of this thread's operations.
    fn no_autocast(&self) -> Guard;
}
