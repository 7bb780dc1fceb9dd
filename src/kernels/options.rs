//! How row statistics are computed, where there is a choice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::KernelError;

/// Bytes of logits that are made at once where they are made here: 256 MiB.
pub const CHUNK_BYTES: usize = 256 << 20;

/// Which implementation computes row statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// The fastest that the device and the kind of the logits allow.
    #[default]
    Auto,
    /// Plain torch operations under torch's own autograd: slower, on any device, differentiable any number of times, and
    /// what the others are judged by.
    Reference,
}

/// How row statistics are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    /// Which implementation computes them.
    pub kernels: Kernels,
    /// Whether the caller gives the logits up: their gradient is then written over them, and nothing of their size is
    /// allocated. Whoever reads the logits after the backward pass finds the gradient there, and torch refuses to go
    /// on with an operation that saved them. Logits that share elements, as expanded ones do, are left alone, and so
    /// are those that [`Kernels::Reference`] reads.
    pub overwrite_logits: bool,
    /// Where logits are made from hidden states, or copied because a kernel cannot read them as they lie, at most this
    /// many bytes of them at once, but at least one row. The results do not depend on it beyond the rounding of a
    /// matrix product.
    pub chunk_bytes: usize,
    /// Whether actions are looked at first where that costs a wait for the device, as on a GPU; else one that is no token makes
    /// its row NaN. On the CPU they always are.
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
