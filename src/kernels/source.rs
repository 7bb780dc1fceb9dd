//! Where logits come from: a tensor that holds them, or hidden states and the output layer's weight.

use tch::{Device, Kind, Tensor};

use super::error::{KernelError, kind_name};
use crate::fields::LogitFields;

/// Logits of `B·T` rows over `V` tokens.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// `[B, T, V]` of kind f32, f64, bf16 or f16, in any layout.
    Logits(&'a Tensor),
    /// `hidden · weightᵀ + bias`, of which never more than one chunk of rows is held at once.
    Hidden(Hidden<'a>),
}

/// What goes into the output layer, and the layer. All of one kind: f32, f64, bf16 or f16.
#[derive(Clone, Copy, Debug)]
pub struct Hidden<'a> {
    /// `[B, T, D]`.
    pub hidden: &'a Tensor,
    /// `[V, D]`, as `torch.nn.Linear` keeps it.
    pub weight: &'a Tensor,
    /// `[V]`.
    pub bias: Option<&'a Tensor>,
}

impl<'a> Source<'a> {
    /// All its tensors, in an order from which [`Source::again`] makes it.
    pub(super) fn tensors(&self) -> Vec<&'a Tensor> {
        match *self {
            Self::Logits(logits) => vec![logits],
            Self::Hidden(Hidden { hidden, weight, bias }) => {
                [hidden, weight].into_iter().chain(bias).collect()
            }
        }
    }

    /// The same sort of source from other tensors.
    pub(super) fn again(tensors: &[Tensor]) -> Source<'_> {
        match tensors {
            [logits] => Source::Logits(logits),
            [hidden, weight, bias @ ..] => Source::Hidden(Hidden { hidden, weight, bias: bias.first() }),
            [] => unreachable!("a source has tensors"),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.tensors()[0].kind()
    }

    pub(super) fn device(&self) -> Device {
        self.tensors()[0].device()
    }

    /// The logits of all rows that `pick` takes of `[B·T, ...]`, `[M, V]`, under torch's own autograd.
    pub(super) fn all(
        &self,
        pick: impl Fn(&Tensor) -> Result<Tensor, KernelError>,
    ) -> Result<Tensor, KernelError> {
        match self {
            Self::Logits(logits) => pick(&logits.f_flatten(0, 1)?),
            Self::Hidden(Hidden { hidden, weight, bias }) => {
                Ok(pick(&hidden.f_flatten(0, 1)?)?.f_linear(weight, *bias)?)
            }
        }
    }

    /// The rows at `[k]` positions of batch and time, `[1, k, V]`, and what they were made of, `[k, D]`, where they
    /// were made.
    pub(super) fn pick(&self, at: &[Tensor; 2]) -> Result<(Tensor, Option<Tensor>), KernelError> {
        let [batch, time] = at.each_ref().map(Some);
        match self {
            Self::Logits(logits) => Ok((logits.f_index(&[batch, time])?.f_unsqueeze(0)?, None)),
            Self::Hidden(Hidden { hidden, weight, bias }) => {
                let picked = hidden.f_index(&[batch, time])?;
                Ok((picked.f_linear(weight, *bias)?.f_unsqueeze(0)?, Some(picked)))
            }
        }
    }

    /// B, T and V, if the tensors fit together; else the refusal blames the field of that name.
    pub(crate) fn shape(&self, names: &LogitFields) -> Result<[i64; 3], KernelError> {
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
        for (name, tensor) in [(names.weight, Some(self.weight)), (names.bias, self.bias)] {
            let Some(tensor) = tensor else { continue };
            same_as(name, tensor, names.hidden, self.hidden)?;
        }
        Ok([batch, time, vocabulary])
    }
}

/// Refuses a tensor that is not of the kind and on the device of another.
fn same_as(
    name: &'static str,
    tensor: &Tensor,
    other: &'static str,
    like: &Tensor,
) -> Result<(), KernelError> {
    if tensor.kind() != like.kind() {
        let expected = format!("{}, as `{other}`", kind_name(like.kind()));
        return refuse(name, &expected, kind_name(tensor.kind()));
    }
    if tensor.device() != like.device() {
        let expected = format!("device {:?}, as `{other}`", like.device());
        return refuse(name, &expected, &format!("{:?}", tensor.device()));
    }
    Ok(())
}

pub(super) fn refuse<T>(name: &'static str, expected: &str, found: &str) -> Result<T, KernelError> {
    Err(KernelError::Tensor { name, expected: expected.to_owned(), found: found.to_owned() })
}

fn check_kind(name: &'static str, tensor: &Tensor) -> Result<(), KernelError> {
    if matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::BFloat16 | Kind::Half) {
        return Ok(());
    }
    refuse(name, "f32, f64, bf16 or f16", kind_name(tensor.kind()))
}
