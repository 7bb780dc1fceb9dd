//! Which tokens and sequences count.

use crate::tensor::{DType, Device, Tensor};
use std::cell::OnceCell;
use std::sync::Arc;

/// The mask of a part, with derived tensors that are computed on first use.
#[derive(Clone, Debug)]
pub(crate) struct Mask {
    /// `[B, T]` bool: which tokens count.
    pub(crate) tokens: Tensor,
    sequences: OnceCell<Tensor>,
    no_tokens: OnceCell<Tensor>,
    no_sequences: OnceCell<Tensor>,
    on_host: OnceCell<Option<Arc<[u8]>>>,
}

impl Mask {
    pub(crate) fn new(tokens: Tensor) -> Self {
        Self {
            tokens,
            sequences: OnceCell::new(),
            no_tokens: OnceCell::new(),
            no_sequences: OnceCell::new(),
            on_host: OnceCell::new(),
        }
    }

    /// `[B]` bool: which sequences have a token that counts.
    pub(crate) fn sequences(&self) -> &Tensor {
        self.sequences.get_or_init(|| self.tokens.any_dim(1))
    }

    /// Its elements as 0 or 1, if they can be read without waiting for a device.
    pub(crate) fn on_host(&self) -> Option<&[u8]> {
        let read = || {
            let here = self.tokens.device() == Device::Cpu;
            here.then(|| self.tokens.to_u8s().ok())?.map(Arc::from)
        };
        self.on_host.get_or_init(read).as_deref()
    }

    /// The number of valid tokens, if it is known without waiting for a device.
    pub(crate) fn known_tokens(&self) -> Option<i64> {
        Some(self.on_host()?.iter().map(|counts| i64::from(*counts)).sum())
    }

    /// Whether every token is known to count, so that nothing has to be zeroed.
    fn is_full(&self) -> bool {
        self.on_host().is_some_and(|counts| counts.iter().all(|counts| *counts != 0))
    }

    /// `x`, `[B, T]`, with zeros at masked positions, even in place of NaN; no gradient flows back from there.
    pub(crate) fn zero_tokens(&self, x: &Tensor) -> Tensor {
        if self.is_full() {
            return x.clone();
        }
        x.masked_fill(self.no_tokens.get_or_init(|| self.tokens.logical_not()), 0.0)
    }

    /// The same for `x` of shape `[B]`.
    pub(crate) fn zero_sequences(&self, x: &Tensor) -> Tensor {
        if self.is_full() && self.tokens.length(1) > 0 {
            return x.clone();
        }
        x.masked_fill(self.no_sequences.get_or_init(|| self.sequences().logical_not()), 0.0)
    }

    /// `[B]`: how many tokens of each sequence count, at least one.
    pub(crate) fn lengths(&self, dtype: DType) -> Tensor {
        self.tokens.sum_dim(1, false, dtype).clamp_min(1.0)
    }
}
