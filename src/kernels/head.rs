//! What a model's head does besides the product of hidden states and weights: a scale, a soft cap, a kind of its own.

use super::error::KernelError;
use super::rows::summed_in;
use crate::tensor::{DType, Tensor};

/// How logits are made of hidden states: `c · tanh(s · (h · Wᵀ + b) / c)`, for the soft cap `c` and the scale `s`.
///
/// Both are computed in f32 (f64 for f64) and rounded to the kind of the product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// The soft cap, above zero: Gemma's `final_logit_softcapping`.
    pub softcap: Option<f64>,
    /// The scale, above zero: Cohere's `logit_scale`, and one over Granite's `logits_scaling`.
    pub scale: f64,
    /// The kind in which the product is computed, whatever the kinds of hidden states and weights, and under
    /// `torch.autocast`, too. While logits are made of it, there is a copy of the weights in that kind.
    pub dtype: Option<DType>,
}

impl Default for Head {
    fn default() -> Self {
        Self { softcap: None, scale: 1.0, dtype: None }
    }
}

/// The derivative of logits by the product that they are made of.
pub(super) enum Slope {
    /// The same for all.
    Same(f64),
    /// One for each, in f32 or wider.
    Each(Tensor),
}

impl Head {
    /// The options that differ from the default, by the names that they have in Python.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        let softcap = self.softcap.map(|_| "logit_softcap");
        let scale = (self.scale.to_bits() != 1f64.to_bits()).then_some("logit_scale");
        softcap.into_iter().chain(scale).chain(self.dtype.map(|_| "head_dtype"))
    }

    /// What makes no logits, if something does: the option, what was expected, and what was found.
    pub(crate) fn wrong(&self) -> Option<(&'static str, &'static str, String)> {
        let numbers = [("logit_softcap", self.softcap.unwrap_or(1.0)), ("logit_scale", self.scale)];
        let wrong = numbers.into_iter().find(|(_, number)| !(*number > 0.0 && number.is_finite()));
        if let Some((option, number)) = wrong {
            return Some((option, "a finite number above 0", number.to_string()));
        }
        let other =
            self.dtype.filter(|kind| !matches!(kind, DType::F32 | DType::F64 | DType::BF16 | DType::F16))?;
        Some(("head_dtype", "f32, f64, bf16 or f16", other.name().to_owned()))
    }

    /// Refuses what makes no logits.
    pub(super) fn check(&self) -> Result<(), KernelError> {
        let wrong =
            self.wrong().map(|(what, expected, found)| KernelError::Request { what, expected, found });
        wrong.map_or(Ok(()), Err)
    }

    /// The bytes that it takes at once to make a logit of that kind.
    pub(super) fn bytes(&self, kind: DType) -> usize {
        kind.bytes() + if self.softcap.is_some() { 2 * summed_in(kind).bytes() } else { 0 }
    }

    /// The logits of a product.
    pub(super) fn logits(&self, product: Tensor) -> Tensor {
        match self.softcap {
            Some(softcap) => self.bent(&product, softcap).0,
            None => self.scaled(product),
        }
    }

    /// The logits of a product, with their derivative.
    pub(super) fn logits_and_slope(&self, product: Tensor) -> (Tensor, Slope) {
        let Some(softcap) = self.softcap else { return (self.scaled(product), Slope::Same(self.scale)) };
        let (logits, tanh) = self.bent(&product, softcap);
        // Of the wide tangent: from rounded logits near the cap, little would be left of the difference.
        (logits, Slope::Each((1.0 - tanh.square()) * self.scale))
    }

    fn scaled(&self, product: Tensor) -> Tensor {
        if self.scale.to_bits() == 1f64.to_bits() { product } else { product * self.scale }
    }

    /// The logits, and their share of the cap in f32 or wider.
    fn bent(&self, product: &Tensor, softcap: f64) -> (Tensor, Tensor) {
        let kind = product.dtype();
        let tanh = (product.to_dtype(summed_in(kind)) * (self.scale / softcap)).tanh();
        ((&tanh * softcap).to_dtype(kind), tanh)
    }
}

impl Slope {
    /// The gradient of the product, from that of its logits.
    pub(super) fn pull_back(&self, of_logits: Tensor) -> Tensor {
        match self {
            Self::Same(slope) if slope.to_bits() == 1f64.to_bits() => of_logits,
            Self::Same(slope) => of_logits * *slope,
            Self::Each(slope) => {
                let kind = of_logits.dtype();
                (slope * of_logits).to_dtype(kind)
            }
        }
    }
}
