//! The traits that a host implements.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::path::PathBuf;

use super::{
    Axis, Backward, Binary, DType, Device, Differentiated, Reduce, Reshape, Scalar, Scatter, TensorError,
    Unary,
};

/// A new tensor, or an error.
pub type Made = Result<Box<dyn HostTensor>, TensorError>;

/// A setting of this thread that lasts until it is dropped.
pub type Guard = Box<dyn Any>;

/// Why operations refuse a tensor.
#[derive(Clone, Debug)]
pub struct Unusable {
    /// What was expected.
    pub expected: &'static str,
    /// What was found, and how to convert it.
    pub found: String,
}

/// A tensor library.
pub trait Host: fmt::Debug + Sync {
    /// Its name in messages, such as `libtorch`.
    fn name(&self) -> &'static str;

    /// A tensor on the CPU with a copy of these bytes as its memory.
    fn tensor(&self, dtype: DType, size: &[i64], bytes: &[u8]) -> Made;

    /// Turns the recording of gradients in this thread on or off.
    fn record_gradient(&self, record: bool) -> Guard;

    /// Runs work that touches no tensor of the host, with the lock of the host's language (if any) released.
    fn unlocked(&self, work: &mut (dyn FnMut() + Send)) {
        work();
    }

    /// The number of threads that an operation on the CPU may use.
    fn threads(&self) -> usize;

    /// The number of usable GPUs, or why there are none.
    fn cuda_devices(&self) -> Result<usize, TensorError>;

    /// Waits until a device has finished its queued work, for timing.
    fn synchronize(&self, device: Device);

    /// The driver's handle to the current stream of a GPU.
    fn cuda_stream(&self, ordinal: usize) -> Result<*mut c_void, TensorError>;

    /// The folder of Python packages that this library is installed in, if any.
    fn packages(&self) -> Option<PathBuf>;
}

/// A tensor of a host. Binary operations take tensors of the same host.
///
/// Methods return new tensors, attached to the graph of their operands where gradients are recorded; only methods whose
/// names end in `_` change the tensor itself.
pub trait HostTensor: fmt::Debug + Send {
    /// For the host to downcast to its own tensors.
    fn as_any(&self) -> &dyn Any;

    /// The library that it belongs to.
    fn host(&self) -> &'static dyn Host;

    /// Another handle to the same tensor.
    fn share(&self) -> Box<dyn HostTensor>;

    /// Why operations refuse it, if they do. The other methods may be called on a usable tensor only.
    fn unusable(&self) -> Option<Unusable>;

    /// The sizes of its dimensions.
    fn size(&self) -> Vec<i64>;

    /// The stride of each dimension in elements.
    fn stride(&self) -> Vec<i64>;

    /// The type of its elements.
    fn dtype(&self) -> DType;

    /// Its device.
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

    /// Clamps each element between `low` and `high`.
    fn clamp(&self, low: Option<f64>, high: Option<f64>) -> Made;

    /// Clamps each element between those of two tensors.
    fn clamp_between(&self, low: &dyn HostTensor, high: &dyn HostTensor) -> Made;

    /// `on_true` where this mask is true, `on_false` elsewhere.
    fn where_cond(&self, on_true: &dyn HostTensor, on_false: &dyn HostTensor) -> Made;

    /// `value` where `mask` is true.
    fn masked_fill(&self, mask: &dyn HostTensor, value: f64) -> Made;

    /// Reduces along `dims`, or along all dimensions if it is empty; `dtype` is the type of a sum.
    fn reduce(&self, op: Reduce, dims: &[i64], keep: bool, dtype: Option<DType>) -> Made;

    /// An operation along a dimension; `dtype` is the type of a sum.
    fn axis(&self, op: Axis, dim: i64, dtype: Option<DType>) -> Made;

    /// Sorts along a dimension, stably: the elements and their original indices.
    fn sort(&self, dim: i64, descending: bool) -> Result<[Box<dyn HostTensor>; 2], TensorError>;

    /// The `k` greatest elements along the last dimension, in any order.
    fn topk(&self, k: i64) -> Made;

    /// For whole numbers in one dimension: the index of each among the distinct values, and how many there are.
    fn unique(&self) -> Result<(Box<dyn HostTensor>, i64), TensorError>;

    /// Elements along a dimension by their indices, `[K]`.
    fn index_select(&self, dim: i64, index: &dyn HostTensor) -> Made;

    /// One element along a dimension for each index, of the index's shape.
    fn gather(&self, dim: i64, index: &dyn HostTensor) -> Made;

    /// A copy with values written at indices along a dimension.
    fn scatter(&self, op: Scatter, dim: i64, index: &dyn HostTensor, values: &dyn HostTensor) -> Made;

    /// A copy with a value at indices along a dimension.
    fn index_fill(&self, dim: i64, index: &dyn HostTensor, value: Scalar) -> Made;

    /// The elements at places of the first two dimensions, `[K, ...]`.
    fn at(&self, places: [&dyn HostTensor; 2]) -> Made;

    /// Writes values, or one for all, at places of the first two dimensions.
    fn put_at_(&self, places: [&dyn HostTensor; 2], values: &dyn HostTensor) -> Result<(), TensorError>;

    /// The indices of all nonzero elements, `[K, D]`.
    fn nonzero(&self) -> Made;

    /// Changes the shape.
    fn reshape(&self, shape: Reshape<'_>) -> Made;

    /// Concatenates tensors along a dimension, this one first.
    fn cat(&self, others: &[&dyn HostTensor], dim: i64) -> Made;

    /// The product of two matrices.
    fn mm(&self, right: &dyn HostTensor) -> Made;

    /// `self · weightᵀ + bias`.
    fn linear(&self, weight: &dyn HostTensor, bias: Option<&dyn HostTensor>) -> Made;

    /// Copies another tensor's elements into this one.
    fn copy_(&self, from: &dyn HostTensor) -> Result<(), TensorError>;

    /// Adds another tensor in place.
    fn add_(&self, other: &dyn HostTensor) -> Result<(), TensorError>;

    /// Adds the product of two matrices in place.
    fn addmm_(&self, left: &dyn HostTensor, right: &dyn HostTensor) -> Result<(), TensorError>;

    /// Converts to another type; the tensor itself if it has that type.
    fn to_dtype(&self, dtype: DType) -> Made;

    /// The same memory as elements of another type; with another width there are more or fewer of them.
    fn view_dtype(&self, dtype: DType) -> Made;

    /// Moves to another device; the tensor itself if it is there.
    fn to_device(&self, device: Device) -> Made;

    /// A new tensor on the same device with one value everywhere.
    fn full(&self, size: &[i64], value: Scalar, dtype: DType) -> Made;

    /// A new tensor on the same device with uninitialised elements.
    fn empty(&self, size: &[i64], dtype: DType) -> Made;

    /// `0, 1, ..., count - 1` in int64 on the same device.
    fn arange(&self, count: i64) -> Made;

    /// The same elements without a gradient.
    fn detach(&self) -> Made;

    /// The same elements as a leaf that gradients flow to.
    fn leaf(&self) -> Made;

    /// The gradient of a leaf, if one has arrived.
    fn grad(&self) -> Option<Box<dyn HostTensor>>;

    /// Backpropagates from a scalar through the graph.
    fn backward(&self) -> Result<(), TensorError>;

    /// Attaches this result of `node` to the host's graph, as a result of the node's inputs. This handle may become the
    /// attached one.
    fn attach(&self, node: Differentiated<'_>, backward: Box<dyn Backward>) -> Made;

    /// Waits for the device and writes all elements to `to`, in order and in that type. `to` has exactly their size.
    fn read(&self, dtype: DType, to: &mut [u8]) -> Result<(), TensorError>;

    /// Whether both have the same sizes and elements.
    fn equal(&self, other: &dyn HostTensor) -> Result<bool, TensorError>;

    /// The address of the first element, if the tensor has memory; for kernels that follow strides.
    fn pointer(&self) -> Option<*mut c_void>;

    /// Whether memory holds the negatives of the values.
    fn is_negated(&self) -> bool;

    /// The tensor with its values in memory, not their negatives.
    fn resolve_neg(&self) -> Made;

    /// Whether it carries a tangent of forward-mode differentiation.
    fn has_tangent(&self) -> bool;

    /// The type in which automatic mixed precision computes matrix products on its device, if it is on.
    fn autocast_dtype(&self) -> Option<DType>;

    /// Turns automatic mixed precision on its device off in this thread.
    fn no_autocast(&self) -> Guard;
}
