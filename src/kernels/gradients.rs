//! Collects the gradient of the logits: as a tensor, over the logits, or as gradients of hidden states and the output layer.

use crate::tensor::{DType, Device, Tensor};

use super::KernelError;
use super::memory::{empty_alike, prefer_large_pages};
use super::rows::summed_in;
use super::source::{Hidden, Product, Source};

/// The gradients of a source's tensors while rows are processed.
pub(super) enum Gradients {
    /// `[B, T, V]`.
    Logits(Tensor),
    /// Only those that are wanted. Sums over all rows are f32 or wider, so that they are not rounded at every chunk.
    Hidden {
        /// `[B, T, D]`.
        hidden: Option<Tensor>,
        /// `[V, D]`.
        weight: Option<Tensor>,
        /// `[V]`.
        bias: Option<Tensor>,
    },
}

impl Gradients {
    /// Gradients to be filled; `skipped` are the positions of rows that nothing will write, whose gradient is zero. `kind` is
    /// that of the logits.
    pub(super) fn of(
        source: &Source<'_>,
        overwrites: bool,
        wanted: &[bool],
        skipped: Option<&[Tensor; 2]>,
        kind: DType,
    ) -> Result<Self, KernelError> {
        match source {
            Source::Logits(logits) => {
                let gradient = if overwrites && has_own_elements(logits) && !logits.is_negated() {
                    logits.detach()
                } else {
                    let on_gpu = matches!(logits.device(), Device::Cuda(_));
                    let alike = if on_gpu { empty_alike(logits)? } else { None };
                    let fresh =
                        alike.map_or_else(|| logits.empty(&logits.size(), logits.dtype()).ok(), Ok)?;
                    prefer_large_pages(&fresh);
                    fresh
                };
                if let Some(at) = skipped {
                    let zero = gradient.zeros(&[], gradient.dtype());
                    gradient.put_at_(at, &zero)?;
                }
                Ok(Self::Logits(gradient))
            }
            Source::Hidden(Hidden { hidden, weight, bias, .. }) => {
                let sums =
                    |tensor: &Tensor| summed_in(if kind == DType::F64 { kind } else { tensor.dtype() });
                let wide = |tensor: &Tensor| tensor.zeros(&tensor.size(), sums(tensor));
                let wants = |index: usize| wanted.get(index).copied().unwrap_or(false);
                Ok(Self::Hidden {
                    hidden: wants(0).then(|| hidden.zeros_like()),
                    weight: wants(1).then(|| wide(weight)),
                    bias: bias.filter(|_| wants(2)).map(wide),
                })
            }
        }
    }

    /// The gradient of logits that are read in place.
    pub(super) fn in_place(&self) -> &Tensor {
        match self {
            Self::Logits(gradient) => gradient,
            Self::Hidden { .. } => unreachable!("only logits lie anywhere"),
        }
    }

    /// Takes the gradient of `[k, V]` logits that were picked at these positions of a source in their kind; `made_of` is
    /// what they were computed from.
    pub(super) fn add(
        &mut self,
        source: &Source<'_>,
        at: &[Tensor; 2],
        of_logits: Tensor,
        made_of: Option<&Product>,
    ) -> Result<(), KernelError> {
        match (self, source, made_of) {
            (Self::Logits(gradient), ..) => {
                gradient.put_at_(at, &of_logits)?;
            }
            (Self::Hidden { hidden, weight, bias }, Source::Hidden(layer), Some(product)) => {
                let (picked, of_product) = (&product.hidden, product.slope.pull_back(of_logits));
                if let Some(gradient) = hidden {
                    let rows = of_product.mm(layer.weight).to_dtype(gradient.dtype());
                    gradient.put_at_(at, &rows)?;
                }
                if let Some(gradient) = weight {
                    let by_row = of_product.transpose();
                    if gradient.dtype() == picked.dtype() {
                        gradient.addmm_(&by_row, picked)?;
                    } else {
                        gradient.add_(&by_row.mm(picked))?;
                    }
                }
                if let Some(gradient) = bias {
                    let kind = gradient.dtype();
                    gradient.add_(&of_product.sum_dim(0, false, kind))?;
                }
            }
            _ => unreachable!("gradients are made for their source"),
        }
        Ok(())
    }

    /// The gradients in the kinds of the source's tensors, in the same order.
    pub(super) fn finish(self, source: &Source<'_>) -> Result<Vec<Option<Tensor>>, KernelError> {
        let gradients = match self {
            Self::Logits(gradient) => vec![Some(gradient)],
            Self::Hidden { hidden, weight, bias } => vec![hidden, weight, bias],
        };
        let narrowed = gradients.into_iter().zip(source.tensors()).map(|(gradient, like)| {
            Ok(gradient.map(|gradient| gradient.to_dtype(like.dtype()).ok()).transpose()?)
        });
        narrowed.collect()
    }
}

/// Whether no two elements share memory, as they do in an expanded tensor.
fn has_own_elements(tensor: &Tensor) -> bool {
    let mut steps: Vec<(i64, i64)> = tensor.stride().into_iter().zip(tensor.size()).collect();
    steps.retain(|(_, size)| *size > 1);
    steps.sort_unstable();
    let mut room = 1;
    for (stride, size) in steps {
        if stride < room {
            return false;
        }
        room = stride * size;
    }
    true
}
