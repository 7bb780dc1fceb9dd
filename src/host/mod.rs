//! The host `tch`: tensors of libtorch through the crate `tch`, without a copy either way.

mod cuda;
mod node;
mod operations;
mod state;
mod tensor;

use std::ffi::c_void;
use std::path::PathBuf;

use crate::tensor::{DType, Device, Guard, Host, HostTensor, Made, TensorError};

pub use cuda::load_cuda;

/// libtorch as a host, for code that needs one before it has a tensor, such as a [`ProcessGroup`](crate::ProcessGroup).
#[derive(Clone, Copy, Debug)]
pub struct Libtorch;

impl Host for Libtorch {
    fn name(&self) -> &'static str {
        "libtorch"
    }

    fn tensor(&self, dtype: DType, size: &[i64], bytes: &[u8]) -> Made {
        let wanted = size.iter().product::<i64>() as usize * dtype.bytes();
        if bytes.len() != wanted {
            let found = bytes.len();
            return Err(TensorError::new(format!(
                "expected {wanted} bytes for {size:?} of {dtype}, found {found}"
            )));
        }
        boxed(tch::Tensor::f_from_data_size(bytes, size, tensor::kind(dtype)?))
    }

    fn record_gradient(&self, record: bool) -> Guard {
        Box::new(state::RecordGradient::new(record))
    }

    fn threads(&self) -> usize {
        tch::get_num_threads().max(1) as usize
    }

    fn cuda_devices(&self) -> Result<usize, TensorError> {
        if !load_cuda()? {
            return Err(TensorError::new("this libtorch was built without CUDA"));
        }
        if !tch::Cuda::is_available() {
            return Err(TensorError::new("this machine has no GPU that CUDA can reach"));
        }
        Ok(tch::Cuda::device_count().max(0) as usize)
    }

    fn synchronize(&self, device: Device) {
        if let Device::Cuda(ordinal) = device {
            tch::Cuda::synchronize(ordinal as i64);
        }
    }

    fn cuda_stream(&self, ordinal: usize) -> Result<*mut c_void, TensorError> {
        cuda::stream(ordinal)
    }

    fn packages(&self) -> Option<PathBuf> {
        cuda::packages()
    }
}

fn boxed(tensor: Result<tch::Tensor, tch::TchError>) -> Made {
    match tensor {
        Ok(tensor) => Ok(Box::new(tensor)),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: tch::TchError) -> TensorError {
    match error {
        tch::TchError::Torch(text) => TensorError::new(text),
        other => TensorError::new(other),
    }
}

/// The operand of an operation, which must belong to this host.
fn of(tensor: &dyn HostTensor) -> Result<&tch::Tensor, TensorError> {
    tensor
        .as_any()
        .downcast_ref()
        .ok_or_else(|| TensorError::new("expected a tensor of tch, found one of another host"))
}
