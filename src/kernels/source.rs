//! Sources of logits: a tensor of logits, or hidden states with the output layer.

use crate::tensor::{DType, Device, Host, Tensor, Unusable};

use super::error::KernelError;
use super::head::{Head, Slope};
use crate::fields::LogitFields;

/// Logits of `B·T` rows over `V` tokens.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// `[B, T, V]` of kind f32, f64, bf16 or f16, in any layout.
    Logits(&'a Tensor),
    /// Of `hidden · weightᵀ + bias`, of which only one chunk of rows is in memory at a time.
    Hidden(Hidden<'a>),
}

/// Hidden states and the output layer, all of one kind: f32, f64, bf16 or f16. Under `torch.autocast` the kinds may
/// differ, except for f64: logits have autocast's kind, as `torch.nn.functional.linear` returns them there. With
/// [`Head::dtype`] they may always differ. Each tensor gets its gradient in its own kind.
#[derive(Clone, Copy, Debug)]
pub struct Hidden<'a> {
    /// `[B, T, D]`.
    pub hidden: &'a Tensor,
    /// `[V, D]`, as `torch.nn.Linear` stores it.
    pub weight: &'a Tensor,
    /// `[V]`.
    pub bias: Option<&'a Tensor>,
    /// What makes logits of their product.
    pub head: Head,
}

/// A source's tensors, ready to compute logits of a kind.
pub(super) struct Ready {
    tensors: Vec<Tensor>,
    head: Head,
}

impl Ready {
    pub(super) fn source(&self) -> Source<'_> {
        Source::again(&self.tensors, self.head)
    }
}

/// Some rows of a source.
pub(super) struct Picked {
    /// `[1, k, V]`.
    pub(super) logits: Tensor,
    /// What they were computed from, if they were.
    pub(super) product: Option<Product>,
}

/// What logits were computed from.
pub(super) struct Product {
    /// The hidden states `[k, D]`, in the kind of the product.
    pub(super) hidden: Tensor,
    /// The derivative of the logits by the product `[k, V]`.
    pub(super) slope: Slope,
}

impl<'a> Source<'a> {
    /// All its tensors, in the order that [`Source::again`] expects.
    pub(super) fn tensors(&self) -> Vec<&'a Tensor> {
        match *self {
            Self::Logits(logits) => vec![logits],
            Self::Hidden(Hidden { hidden, weight, bias, .. }) => {
                [hidden, weight].into_iter().chain(bias).collect()
            }
        }
    }

    /// The same variant from other tensors.
    pub(super) fn again(tensors: &[Tensor], head: Head) -> Source<'_> {
        match tensors {
            [logits] => Source::Logits(logits),
            [hidden, weight, bias @ ..] => {
                Source::Hidden(Hidden { hidden, weight, bias: bias.first(), head })
            }
            [] => unreachable!("a source has tensors"),
        }
    }

    /// Its head; of logits, one that does nothing.
    pub(super) fn head(&self) -> Head {
        match self {
            Self::Logits(_) => Head::default(),
            Self::Hidden(layer) => layer.head,
        }
    }

    /// The kind of its logits, to be asked under the caller's autocast; an error names a field from `names`.
    pub(super) fn kind(&self, names: &LogitFields) -> Result<DType, KernelError> {
        match self {
            Self::Logits(logits) => Ok(logits.dtype()),
            Self::Hidden(layer) => layer.kind(names),
        }
    }

    /// Its tensors, ready to compute logits of that kind. Hidden states stay as they are: only a few are picked at once.
    pub(super) fn in_dtype(&self, dtype: DType) -> Ready {
        let mut tensors: Vec<Tensor> = self.tensors().into_iter().cloned().collect();
        if matches!(self, Self::Hidden(_)) {
            for tensor in tensors.iter_mut().skip(1) {
                *tensor = tensor.to_dtype(dtype);
            }
        }
        Ready { tensors, head: self.head() }
    }

    /// Whether it is a tensor of logits with every row in one piece.
    pub(super) fn lies_in_rows(&self) -> bool {
        match self {
            Self::Logits(logits) => logits.length(2) == 1 || logits.stride().get(2) == Some(&1),
            Self::Hidden(_) => false,
        }
    }

    pub(super) fn host(&self) -> Result<&'static dyn Host, KernelError> {
        Ok(self.tensors()[0].host()?)
    }

    pub(super) fn device(&self) -> Device {
        self.tensors()[0].device()
    }

    /// The logits `[M, V]` of the rows that `pick` takes from `[B·T, ...]`, under the host's own autograd.
    pub(super) fn all(&self, dtype: DType, pick: impl Fn(&Tensor) -> Tensor) -> Tensor {
        match self {
            Self::Logits(logits) => pick(&logits.flatten(0, 1)),
            Self::Hidden(Hidden { hidden, weight, bias, head }) => {
                let bias = bias.map(|bias| bias.to_dtype(dtype));
                let hidden = pick(&hidden.flatten(0, 1)).to_dtype(dtype);
                head.logits(hidden.linear(&weight.to_dtype(dtype), bias.as_ref()))
            }
        }
    }

    /// The rows at `[k]` positions of batch and time, for the backward pass with slopes. The kind must be that of a source
    /// [`Self::in_dtype`]. Where some may not count, their hidden states become zero, even in place of NaN: their gradient is
    /// zero, and the head's is a product of both.
    pub(super) fn pick(
        &self,
        at: &[Tensor; 2],
        counted: Option<&Tensor>,
        kind: DType,
        slopes: bool,
    ) -> Result<Picked, KernelError> {
        let (logits, product) = match self {
            Self::Logits(logits) => (logits.at(at), None),
            Self::Hidden(Hidden { hidden, weight, bias, head }) => {
                let picked = hidden.at(at).to_dtype(kind);
                let hidden = match counted {
                    Some(counted) => picked.masked_fill(&counted.logical_not().unsqueeze(1), 0.0),
                    None => picked,
                };
                let product = hidden.linear(weight, *bias);
                if slopes {
                    let (logits, slope) = head.logits_and_slope(product);
                    (logits, Some(Product { hidden, slope }))
                } else {
                    (head.logits(product), None)
                }
            }
        };
        Ok(Picked { logits: logits.unsqueeze(0).ok()?, product })
    }

    /// B, T and V, if the tensors fit together; an error names the field from `names`.
    pub(crate) fn shape(&self, names: &LogitFields) -> Result<[i64; 3], KernelError> {
        let of = match self {
            Self::Logits(_) => [names.logits; 3],
            Self::Hidden(_) => [names.hidden, names.weight, names.bias],
        };
        for (name, tensor) in of.into_iter().zip(self.tensors()) {
            check_usable(name, tensor)?;
        }
        match self {
            Self::Logits(logits) => {
                check_kind(names.logits, logits)?;
                let size = logits.size();
                let &[batch, time, vocabulary] = size.as_slice() else {
                    return refuse(names.logits, "[B, T, V]", &format!("{size:?}"));
                };
                if vocabulary == 0 {
                    let found = format!("{size:?}");
                    return refuse(names.logits, "at least one token in the vocabulary", &found);
                }
                Ok([batch, time, vocabulary])
            }
            Self::Hidden(layer) => layer.shape(names),
        }
    }
}

impl Hidden<'_> {
    fn shape(&self, names: &LogitFields) -> Result<[i64; 3], KernelError> {
        check_kind(names.hidden, self.hidden)?;
        let size = self.hidden.size();
        let &[batch, time, width] = size.as_slice() else {
            return refuse(names.hidden, "[B, T, D]", &format!("{size:?}"));
        };
        self.head.check()?;
        let size = self.weight.size();
        let vocabulary = match *size.as_slice() {
            [vocabulary, columns] if columns == width && vocabulary > 0 => vocabulary,
            _ => {
                let expected = format!("[V, {width}], as `{}` has {width} columns", names.hidden);
                return refuse(names.weight, &expected, &format!("{size:?}"));
            }
        };
        if let Some(bias) = self.bias
            && bias.size() != [vocabulary]
        {
            let expected = format!("[{vocabulary}], as `{}` has {vocabulary} rows", names.weight);
            return refuse(names.bias, &expected, &format!("{:?}", bias.size()));
        }
        for (name, tensor) in self.layer(names) {
            if tensor.device() != self.hidden.device() {
                let expected = format!("device {}, as `{}`", self.hidden.device(), names.hidden);
                return refuse(name, &expected, &tensor.device().to_string());
            }
        }
        self.kind(names)?;
        Ok([batch, time, vocabulary])
    }

    /// The output layer's tensors, with their field names.
    fn layer<'n>(
        &self,
        names: &'n LogitFields,
    ) -> impl Iterator<Item = (&'static str, &Tensor)> + use<'_, 'n> {
        let bias = self.bias.map(|bias| (names.bias, bias));
        std::iter::once((names.weight, self.weight)).chain(bias)
    }

    /// The head's own kind, or that in which `torch.nn.functional.linear` computes. It refuses different kinds, unless
    /// autocast casts them to one; autocast does not cast f64.
    fn kind(&self, names: &LogitFields) -> Result<DType, KernelError> {
        if let Some(kind) = self.head.dtype {
            self.layer(names).try_for_each(|(name, tensor)| check_kind(name, tensor))?;
            return Ok(kind);
        }
        let kind = self.hidden.dtype();
        let narrow = |tensor: &Tensor| matches!(tensor.dtype(), DType::F32 | DType::BF16 | DType::F16);
        if let Some(cast) = self.hidden.autocast_dtype()
            && narrow(self.hidden)
            && self.layer(names).all(|(_, tensor)| narrow(tensor))
        {
            return Ok(cast);
        }
        for (name, tensor) in self.layer(names) {
            if tensor.dtype() != kind {
                let expected = format!("{}, as `{}`", kind, names.hidden);
                let brings = if narrow(tensor) && narrow(self.hidden) {
                    "; `head_dtype`, or `torch.autocast` around the step, brings both to one kind"
                } else {
                    ""
                };
                return refuse(name, &expected, &format!("{}{brings}", tensor.dtype()));
            }
        }
        Ok(kind)
    }
}

/// Refuses a tensor that operations cannot use.
pub(super) fn check_usable(name: &'static str, tensor: &Tensor) -> Result<(), KernelError> {
    match tensor.unusable() {
        Some(Unusable { expected, found }) => refuse(name, expected, &found),
        None => Ok(()),
    }
}

/// Refuses one of the tensors that kernels follow by pointer.
pub(super) fn differs(expected: &str, tensor: &Tensor) -> Result<(), KernelError> {
    let found = format!("{:?} of {}", tensor.size(), tensor.dtype());
    refuse("the kernels' tensors", expected, &found)
}

pub(super) fn refuse<T>(name: &'static str, expected: &str, found: &str) -> Result<T, KernelError> {
    Err(KernelError::Tensor { name, expected: expected.to_owned(), found: found.to_owned() })
}

pub(super) fn check_kind(name: &'static str, tensor: &Tensor) -> Result<(), KernelError> {
    if matches!(tensor.dtype(), DType::F32 | DType::F64 | DType::BF16 | DType::F16) {
        return Ok(());
    }
    refuse(name, "f32, f64, bf16 or f16", tensor.dtype().name())
}
