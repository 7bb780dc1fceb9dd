//! Which tokens and sequences count.

use crate::tensor::{DType, Device, Tensor};
use std::cell::OnceCell;

/// The mask of a part, with derived tensors that are computed on first use.
#[derive(Clone, Debug)]
pub(crate) struct Mask {
    /// `[B, T]` bool: which tokens count.
    pub(crate) tokens: Tensor,
    sequences: OnceCell<Tensor>,
    no_tokens: OnceCell<Tensor>,
    no_sequences: OnceCell<Tensor>,
    known_tokens: OnceCell<Option<i64>>,
}

impl Mask {
    pub(crate) fn new(tokens: Tensor) -> Self {
        Self {
            tokens,
            sequences: OnceCell::new(),
            no_tokens: OnceCell::new(),
            no_sequences: OnceCell::new(),
            known_tokens: OnceCell::new(),
        }
    }

    /// `[B]` bool: which sequences have a token that counts.
    pub(crate) fn sequences(&self) -> &Tensor {
        self.sequences.get_or_init(|| self.tokens.any_dim(1))
    }

    /// The number of valid tokens, if it is known without waiting for a device.
    pub(crate) fn known_tokens(&self) -> Option<i64> {
        *self.known_tokens.get_or_init(|| {
            let here = self.tokens.device() == Device::Cpu;
            let counts = here.then(|| self.tokens.to_u8s().ok())??;
            Some(counts.into_iter().map(i64::from).sum())
        })
    }

    /// `x`, `[B, T]`, with zeros at masked positions, even in place of NaN; no gradient flows back from there.
    pub(crate) fn zero_tokens(&self, x: &Tensor) -> Tensor {
        x.masked_fill(self.no_tokens.get_or_init(|| self.tokens.logical_not()), 0.0)
    }

    /// The same for `x` of shape `[B]`.
    pub(crate) fn zero_sequences(&self, x: &Tensor) -> Tensor {
        x.masked_fill(self.no_sequences.get_or_init(|| self.sequences().logical_not()), 0.0)
    }

    /// `[B]`: how many tokens of each sequence count, at least one.
    pub(crate) fn lengths(&self, dtype: DType) -> Tensor {
        self.tokens.sum_dim(1, false, dtype).clamp_min(1.0)
    }
}
