//! Where the gradient of the logits goes: to a tensor of its own, over the logits, or on into hidden states and the
//! output layer.

use tch::Tensor;

use super::rows::summed_in;
use super::source::{Hidden, Source};
use super::torch_state::is_negated;
use super::{KernelError, autograd};

/// The gradients of a source's tensors while rows are worked off.
pub(super) enum Gradients {
    /// `[B, T, V]`.
    Logits(Tensor),
    /// Each where it is wanted. Those that all rows add to are kept in f32 or wider: a sum over many chunks must not be
    /// rounded at each of them.
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
    /// Gradients to be filled; `skipped` are the places of rows that nobody will write, whose gradient is zero.
    pub(super) fn of(
        source: &Source<'_>,
        overwrites: bool,
        wanted: &[bool],
        skipped: Option<&[Tensor; 2]>,
    ) -> Result<Self, KernelError> {
        match source {
            Source::Logits(logits) => {
                let mut gradient = if overwrites && has_own_elements(logits) && !is_negated(logits) {
                    logits.f_detach()?
                } else {
                    let fresh = Tensor::f_empty(logits.size(), (logits.kind(), logits.device()))?;
                    autograd::prefer_large_pages(&fresh);
                    fresh
                };
                if let Some(at) = skipped {
                    let zero = gradient.f_new_zeros([0i64; 0], (gradient.kind(), gradient.device()))?;
                    let _ = gradient.f_index_put_(&at.each_ref().map(Some), &zero, false)?;
                }
                Ok(Self::Logits(gradient))
            }
            Source::Hidden(Hidden { hidden, weight, bias }) => {
                let wide = |tensor: &Tensor| {
                    Tensor::f_zeros(tensor.size(), (summed_in(tensor.kind()), tensor.device()))
                };
                let wants = |index: usize| wanted.get(index).copied().unwrap_or(false);
                Ok(Self::Hidden {
                    hidden: wants(0).then(|| hidden.f_zeros_like()).transpose()?,
                    weight: wants(1).then(|| wide(weight)).transpose()?,
                    bias: bias.filter(|_| wants(2)).map(wide).transpose()?,
                })
            }
        }
    }

    /// The gradient of logits that are read where they lie.
    pub(super) fn in_place(&mut self) -> &mut Tensor {
        match self {
            Self::Logits(gradient) => gradient,
            Self::Hidden { .. } => unreachable!("only logits lie anywhere"),
        }
    }

    /// Takes the gradient of `[k, V]` logits that were picked at those places of a source in their kind; `picked` is what
    /// they were made of.
    pub(super) fn add(
        &mut self,
        source: &Source<'_>,
        at: &[Tensor; 2],
        of_logits: &Tensor,
        picked: Option<&Tensor>,
    ) -> Result<(), KernelError> {
        let at = at.each_ref().map(Some);
        match (self, source, picked) {
            (Self::Logits(gradient), ..) => {
                let _ = gradient.f_index_put_(&at, of_logits, false)?;
            }
            (Self::Hidden { hidden, weight, bias }, Source::Hidden(layer), Some(picked)) => {
                if let Some(gradient) = hidden {
                    let rows = of_logits.f_mm(layer.weight)?.f_to_kind(gradient.kind())?;
                    let _ = gradient.f_index_put_(&at, &rows, false)?;
                }
                if let Some(gradient) = weight {
                    let by_row = of_logits.f_tr()?;
                    let _ = if gradient.kind() == picked.kind() {
                        gradient.f_addmm_(&by_row, picked)?
                    } else {
                        gradient.f_add_(&by_row.f_mm(picked)?)?
                    };
                }
                if let Some(gradient) = bias {
                    let kind = gradient.kind();
                    let _ =
                        gradient.f_add_(&of_logits.f_sum_dim_intlist([0i64].as_slice(), false, kind)?)?;
                }
            }
            _ => unreachable!("gradients are made for their source"),
        }
        Ok(())
    }

    /// The gradients in the kinds of the source's tensors, in their order.
    pub(super) fn finish(self, source: &Source<'_>) -> Result<Vec<Option<Tensor>>, KernelError> {
        let gradients = match self {
            Self::Logits(gradient) => vec![Some(gradient)],
            Self::Hidden { hidden, weight, bias } => vec![hidden, weight, bias],
        };
        let narrowed = gradients.into_iter().zip(source.tensors()).map(|(gradient, like)| {
            Ok(gradient.map(|gradient| gradient.f_to_kind(like.kind())).transpose()?)
        });
        narrowed.collect()
    }
}

/// Whether no two elements share memory, as those of an expanded tensor do.
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
