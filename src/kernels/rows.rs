//! The rows of a batch after validation: their shape, kind and device, and the actions of those that count.

use crate::tensor::{DType, Tensor};

use super::error::KernelError;
use super::ids::Ids;
use super::source::{Source, check_kind, check_usable, refuse};
use crate::fields::{LogitFields, POLICY};
use crate::rows::{FieldName, RowStatistic, references};

/// The inputs of row statistics.
#[derive(Clone, Copy, Debug)]
pub struct RowInputs<'a> {
    /// The logits of the policy.
    pub policy: Source<'a>,
    /// Logits to compare with, of the same shape and kind, by the name that statistics give them. No gradient flows into
    /// them; only statistics that compare read them.
    pub references: &'a [(Option<FieldName>, Source<'a>)],
    /// `[B, T]` int64: token ids in `0..V` where the mask is true.
    pub actions: &'a Tensor,
    /// `[B, T]` bool: which rows count.
    pub mask: &'a Tensor,
    /// The fields that statistics name: lists of token ids and real values beside them, `[B, T, K]` each; divisors,
    /// `[B, T]`, of which one that is not above zero and finite makes its row NaN.
    pub fields: &'a [(FieldName, &'a Tensor)],
}

impl<'a> RowInputs<'a> {
    /// Rows of logits without a reference.
    pub fn new(logits: &'a Tensor, actions: &'a Tensor, mask: &'a Tensor) -> Self {
        Self { policy: Source::Logits(logits), references: &[], actions, mask, fields: &[] }
    }

    /// A field that a statistic names.
    pub(super) fn field(&self, field: FieldName, expected: &str) -> Result<&'a Tensor, KernelError> {
        match self.fields.iter().find(|(name, _)| *name == field) {
            Some((_, tensor)) => Ok(tensor),
            None => refuse(field.as_str(), expected, "none"),
        }
    }
}

/// Inputs that passed validation.
pub(super) struct Rows<'a> {
    pub(super) policy: Source<'a>,
    /// As in the plan of the request.
    pub(super) references: Vec<Source<'a>>,
    /// The actions and the mask, `[B, T]`, and the lists of the batch.
    pub(super) ids: Ids,
    /// `[B·T]` f64: what the batch divides each row by, if it does; NaN where it cannot.
    pub(super) divisors: Option<Tensor>,
    /// B and T.
    pub(super) shape: [i64; 2],
    pub(super) vocabulary: i64,
    /// The kind of the logits, given or computed.
    pub(super) logits: DType,
}

impl<'a> Rows<'a> {
    /// Validates inputs; references that the request does not need are dropped.
    pub(super) fn checked(inputs: &RowInputs<'a>, request: &[RowStatistic]) -> Result<Self, KernelError> {
        let RowInputs { policy, actions, mask, .. } = *inputs;
        let [batch, time, vocabulary] = policy.shape(&POLICY)?;
        let logits = policy.kind(&POLICY)?;
        for (name, tensor, kind) in [("actions", actions, DType::I64), ("response_mask", mask, DType::Bool)] {
            check_usable(name, tensor)?;
            if tensor.size() != [batch, time] {
                let expected = format!("[{batch}, {time}], as the logits");
                return refuse(name, &expected, &format!("{:?}", tensor.size()));
            }
            if tensor.dtype() != kind {
                return refuse(name, kind.name(), tensor.dtype().name());
            }
            if tensor.device() != policy.device() {
                let expected = format!("device {}, as the logits", policy.device());
                return refuse(name, &expected, &tensor.device().to_string());
            }
        }
        let shape = [batch, time, vocabulary];
        let references = references(request).into_iter().map(|of| reference(inputs, of, shape, logits));
        let references = references.collect::<Result<_, _>>()?;
        let divisors = divisors(inputs, request, [batch, time])?;
        let ids = Ids::new(actions.clone(), mask.clone());
        Ok(Self { policy, references, ids, divisors, shape: [batch, time], vocabulary, logits })
    }

    /// The number of rows, including those that do not count.
    pub(super) fn count(&self) -> i64 {
        self.shape[0] * self.shape[1]
    }

    /// The kind in which statistics are computed and returned.
    pub(super) fn dtype(&self) -> DType {
        summed_in(self.logits)
    }

    /// Puts values `[M, ...]` into `[B, T, ...]` at `[M]` positions, with zero elsewhere.
    pub(super) fn placed(&self, values: &Tensor, positions: &Tensor) -> Tensor {
        let each = values.size()[1..].to_vec();
        let zeros = values.zeros(&[&[self.count()], &each[..]].concat(), values.dtype());
        zeros.index_copy(0, positions, values).reshape(&[&self.shape, &each[..]].concat())
    }
}

/// The kind for sums of numbers of `kind`: f32 or wider.
pub(super) fn summed_in(kind: DType) -> DType {
    if kind == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The `[M]` positions where a mask of `[N]` rows is true.
pub(super) fn positions(mask: &Tensor) -> Tensor {
    mask.nonzero().squeeze(1)
}

/// The field that divides the rows, if the request names one.
fn divisors(
    inputs: &RowInputs<'_>,
    request: &[RowStatistic],
    [batch, time]: [i64; 2],
) -> Result<Option<Tensor>, KernelError> {
    let mut names = request.iter().filter_map(|asked| asked.divisor);
    let Some(field) = names.next() else { return Ok(None) };
    if let Some(other) = names.find(|other| *other != field) {
        let found = format!("`{field}` and `{other}`");
        return Err(KernelError::Request {
            what: "divisor",
            expected: "one field for all statistics",
            found,
        });
    }
    let name = field.as_str();
    let tensor = inputs.field(field, "real numbers `[B, T]`")?;
    check_usable(name, tensor)?;
    if tensor.size() != [batch, time] {
        let expected = format!("[{batch}, {time}], as the logits");
        return refuse(name, &expected, &format!("{:?}", tensor.size()));
    }
    check_kind(name, tensor)?;
    if tensor.device() != inputs.policy.device() {
        let expected = format!("device {}, as the logits", inputs.policy.device());
        return refuse(name, &expected, &tensor.device().to_string());
    }
    let wide = tensor.detach().to_dtype(DType::F64);
    let usable = wide.gt(0.0).logical_and(&wide.isfinite());
    let usable = usable.where_cond(&wide, &wide.full(&[], f64::NAN, DType::F64));
    Ok(Some(usable.contiguous().reshape(&[-1]).ok()?))
}

fn reference<'a>(
    inputs: &RowInputs<'a>,
    of: Option<FieldName>,
    shape: [i64; 3],
    logits: DType,
) -> Result<Source<'a>, KernelError> {
    let names = LogitFields::of_reference(of);
    let Some((_, reference)) = inputs.references.iter().find(|(name, _)| *name == of) else {
        return refuse(names.logits, "logits to compare with, `[B, T, V]`", "none");
    };
    let found = reference.shape(&names)?;
    if found != shape {
        let expected = format!("{shape:?}, as the policy's logits");
        return refuse(names.logits, &expected, &format!("{found:?}"));
    }
    let found = reference.kind(&names)?;
    if found != logits {
        let expected = format!("{logits}, as the policy's logits");
        return refuse(names.logits, &expected, found.name());
    }
    if reference.device() != inputs.policy.device() {
        let expected = format!("device {}, as the policy's logits", inputs.policy.device());
        return refuse(names.logits, &expected, &reference.device().to_string());
    }
    Ok(*reference)
}
