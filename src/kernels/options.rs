//! Options for computing row statistics.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::KernelError;
use crate::passes::CHUNK_BYTES;

/// Which implementation computes row statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// The fastest that supports the device and the kind of the logits.
    #[default]
    Auto,
    /// Plain torch operations under torch's own autograd: slower, on any device, differentiable any number of times,
    /// and the standard for testing the others.
    Reference,
}

/// How row statistics are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    /// Which implementation computes them.
    pub kernels: Kernels,
    /// Whether the gradient may overwrite the logits, so that nothing of their size is allocated. Later readers of the
    /// logits find the gradient, and torch raises an error for other operations that saved them. It never overwrites
    /// logits that share elements, such as expanded ones, nor those that [`Kernels::Reference`] reads.
    pub overwrite_logits: bool,
    /// The largest chunk of logits, in bytes, when they are computed from hidden states or copied because a kernel cannot read
    /// their layout; at least one row. Apart from the rounding of a matrix product, results do not depend on it.
    pub chunk_bytes: usize,
    /// Whether to check actions first even if that costs a wait for the device, as on a GPU; otherwise an action that
    /// is not a token id makes its row NaN. The CPU always checks.
    pub validate: bool,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self { kernels: Kernels::Auto, overwrite_logits: false, chunk_bytes: CHUNK_BYTES, validate: true }
    }
}

impl From<Kernels> for KernelOptions {
    fn from(kernels: Kernels) -> Self {
        Self { kernels, ..Self::default() }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Reference => "reference",
        })
    }
}

impl FromStr for Kernels {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        match name {
            "auto" => Ok(Self::Auto),
            "reference" => Ok(Self::Reference),
            _ => Err(KernelError::Request {
                what: "kernels",
                expected: "`auto` or `reference`",
                found: format!("`{name}`"),
            }),
        }
    }
}
