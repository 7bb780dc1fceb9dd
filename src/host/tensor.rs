//! Conversions between the handle and tch's tensors.

use crate::tensor::{DType, Device, Tensor, TensorError};

impl From<tch::Tensor> for Tensor {
    fn from(tensor: tch::Tensor) -> Self {
        Self::new(Box::new(tensor))
    }
}

impl From<&tch::Tensor> for Tensor {
    fn from(tensor: &tch::Tensor) -> Self {
        tensor.shallow_clone().into()
    }
}

impl Tensor {
    /// tch's tensor of the same elements and graph, without a copy.
    ///
    /// # Errors
    /// When an operation failed, or the tensor belongs to another host.
    pub fn tch(&self) -> Result<tch::Tensor, TensorError> {
        super::of(self.host_tensor()?).map(tch::Tensor::shallow_clone)
    }
}

impl TryFrom<&Tensor> for tch::Tensor {
    type Error = TensorError;

    fn try_from(tensor: &Tensor) -> Result<Self, TensorError> {
        tensor.tch()
    }
}

impl TryFrom<Tensor> for tch::Tensor {
    type Error = TensorError;

    fn try_from(tensor: Tensor) -> Result<Self, TensorError> {
        tensor.tch()
    }
}

impl From<tch::Kind> for DType {
    fn from(kind: tch::Kind) -> Self {
        use tch::Kind;
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Uint8 => Self::U8,
            Kind::Int8 => Self::I8,
            Kind::Int16 => Self::I16,
            Kind::Int => Self::I32,
            Kind::Int64 => Self::I64,
            Kind::Half => Self::F16,
            Kind::BFloat16 => Self::BF16,
            Kind::Float => Self::F32,
            Kind::Double => Self::F64,
            Kind::ComplexHalf | Kind::ComplexFloat | Kind::ComplexDouble => Self::Other("complex numbers"),
            Kind::QInt8 | Kind::QUInt8 | Kind::QInt32 => Self::Other("quantized numbers"),
            Kind::Float8e5m2 => Self::Other("float8_e5m2"),
            Kind::Float8e4m3fn => Self::Other("float8_e4m3fn"),
            Kind::Float8e5m2fnuz => Self::Other("float8_e5m2fnuz"),
            Kind::Float8e4m3fnuz => Self::Other("float8_e4m3fnuz"),
        }
    }
}

/// The kind of a type that operations can create.
pub(super) fn kind(dtype: DType) -> Result<tch::Kind, TensorError> {
    use tch::Kind;
    Ok(match dtype {
        DType::Bool => Kind::Bool,
        DType::U8 => Kind::Uint8,
        DType::I8 => Kind::Int8,
        DType::I16 => Kind::Int16,
        DType::I32 => Kind::Int,
        DType::I64 => Kind::Int64,
        DType::F16 => Kind::Half,
        DType::BF16 => Kind::BFloat16,
        DType::F32 => Kind::Float,
        DType::F64 => Kind::Double,
        DType::Other(name) => return Err(TensorError::new(format!("no operation makes {name}"))),
    })
}

impl From<tch::Device> for Device {
    fn from(device: tch::Device) -> Self {
        match device {
            tch::Device::Cpu => Self::Cpu,
            tch::Device::Cuda(ordinal) => Self::Cuda(ordinal),
            tch::Device::Mps => Self::Other("mps"),
            tch::Device::Vulkan => Self::Other("vulkan"),
        }
    }
}

/// A device as tch's type.
pub(super) fn device(device: Device) -> Result<tch::Device, TensorError> {
    Ok(match device {
        Device::Cpu => tch::Device::Cpu,
        Device::Cuda(ordinal) => tch::Device::Cuda(ordinal),
        Device::Other("mps") => tch::Device::Mps,
        Device::Other("vulkan") => tch::Device::Vulkan,
        Device::Other(name) => return Err(TensorError::new(format!("tch knows no device {name}"))),
    })
}

impl TryFrom<Device> for tch::Device {
    type Error = TensorError;

    fn try_from(found: Device) -> Result<Self, TensorError> {
        device(found)
    }
}
