//! The arguments of `aent eval`.

use super::setting;
use crate::commands::device::Wanted;
use aent::program::ParamValue;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `aent eval`
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The file; `-` is standard input
    pub(crate) file: PathBuf,
    /// The batch: a safetensors file with the fields that the file needs
    #[arg(long, value_name = "FILE")]
    pub(crate) batch: PathBuf,
    /// Write the loss, its gradients and every `let` to a safetensors file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Set a `param` of the file
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, ParamValue)>,
    /// Let the files import from this folder too, besides their own project
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_import: Vec<PathBuf>,
    /// Begin with saved controllers
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Save the controllers after the step
    #[arg(long, value_name = "FILE")]
    pub(crate) save_state: Option<PathBuf>,
    /// Where to compute: `cpu`, `cuda` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Wanted,
    /// Convert the floating-point fields of the batch first
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<Dtype>,
    /// How to compute row statistics
    #[arg(long, value_enum, default_value_t = KernelsName::Auto)]
    pub(crate) kernels: KernelsName,
    /// Cut the batch into N nearly equal parts along B; the result is that of the whole
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) microbatches: Option<usize>,
    /// Take the loss apart: value and gradient norm of each summand, the share of tokens at each bound, and the cause of NaN
    #[arg(long)]
    pub(crate) diagnose: bool,
    /// After one step to warm up, run N more and print the median seconds and the peak memory
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) repeat: Option<usize>,
}

/// Kinds of floating-point numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
    /// 16 bits with the exponent of 32.
    Bf16,
}

impl From<Dtype> for aent::tensor::DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => aent::tensor::DType::F32,
            Dtype::F64 => aent::tensor::DType::F64,
            Dtype::Bf16 => aent::tensor::DType::BF16,
        }
    }
}

/// Implementations of row statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelsName {
    /// The fastest for the device and the kind of the logits
    Auto,
    /// Plain torch operations
    Reference,
}

impl From<KernelsName> for aent::Kernels {
    fn from(name: KernelsName) -> Self {
        match name {
            KernelsName::Auto => aent::Kernels::Auto,
            KernelsName::Reference => aent::Kernels::Reference,
        }
    }
}

pub(super) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}
