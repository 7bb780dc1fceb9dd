//! Statistics of the tokens that a batch lists for each row, from their log-probabilities: algebra on `[B, T, K]` above the
//! kernels, under the host's own autograd.

use std::sync::Arc;

use super::KernelError;
use super::ids::{Ids, Lists};
use super::rows::RowInputs;
use super::source::{check_usable, refuse};
use crate::passes::{Origin, Split};
use crate::rows::{Divergence, FieldName, Rest, RowStatistic, Statistic, Taught};
use crate::tensor::{DType, Tensor};

/// The least `-log` of the probability of listed tokens whose rest is a bucket: rounding may bring it to 0.
const LEAST: f64 = 1e-7;

/// A list of tokens for each row.
pub(super) struct List {
    /// `[B, T, K]` int64, in ascending order; -1 for none, everywhere in rows that do not count.
    ids: Tensor,
    /// Where each id stood in its field.
    order: Tensor,
}

impl Split {
    /// The lists that it reads, each checked but for the values of its ids.
    pub(super) fn lists(&self, inputs: &RowInputs<'_>, shape: [i64; 2]) -> Result<Vec<List>, KernelError> {
        let list = |field: &FieldName| {
            let ids = inputs.field(*field, "int64 token ids `[B, T, K]`, padded with -1")?;
            check_size(field.as_str(), ids, shape, inputs)?;
            if ids.dtype() != DType::I64 {
                return refuse(field.as_str(), DType::I64.name(), ids.dtype().name());
            }
            let counted = inputs.mask.unsqueeze(-1);
            let [ids, order] = counted.where_cond(ids, &ids.full(&[], -1i64, DType::I64)).sort(-1, false);
            Ok(List { ids: ids.ok()?, order: order.ok()? })
        };
        self.fields.iter().map(list).collect()
    }

    /// All lists as engines read them.
    pub(super) fn joined(&self, lists: &[List]) -> Option<Lists> {
        if lists.is_empty() {
            return None;
        }
        let fields: Arc<[_]> =
            self.fields.iter().zip(lists).map(|(field, list)| (field.as_str(), list.length())).collect();
        let ids: Vec<Tensor> = lists.iter().map(|list| list.ids.clone()).collect();
        Some(Lists { fields, ids: Tensor::cat(&ids, -1) })
    }

    /// Refuses a list with the same id twice, and one without the action where its log-probability on the list is asked
    /// for. Waits for a device.
    pub(super) fn check(
        &self,
        request: &[RowStatistic],
        lists: &[List],
        ids: &Ids,
    ) -> Result<(), KernelError> {
        if lists.is_empty() {
            return Ok(());
        }
        let actions = ids.tensors()[0].unsqueeze(-1);
        let mut wrong = Vec::new();
        for (field, list) in self.fields.iter().zip(lists) {
            let later = list.length() as i64 - 1;
            let repeated = list.ids.narrow(-1, 1, later);
            let twice = repeated.eq(&list.ids.narrow(-1, 0, later)).logical_and(&repeated.ge(0i64));
            wrong.push((*field, twice.any_dim(-1), "different token ids, padded with -1", "one twice"));
            let acts = |asked: &&RowStatistic| {
                asked.listed() == Some(*field) && asked.statistic == Statistic::LogProbWithin
            };
            if request.iter().any(|asked| acts(&asked)) {
                let lacks = list.ids.eq(&actions).any_dim(-1).logical_not().logical_and(&list.is_any());
                wrong.push((
                    *field,
                    lacks,
                    "the sampled token among the ids, or no id at all",
                    "other tokens",
                ));
            }
        }
        let any: Vec<Tensor> = wrong.iter().map(|(_, wrong, ..)| wrong.any()).collect();
        let any = Tensor::stack(&any, 0).to_u8s()?;
        let Some(first) = any.iter().position(|wrong| *wrong != 0) else { return Ok(()) };
        let (field, wrong, expected, found) = &wrong[first];
        let at = wrong.nonzero().select(0, 0).to_i64s()?;
        Err(KernelError::Listed {
            name: field.as_str(),
            place: [at[0], at[1]],
            expected: (*expected).to_owned(),
            found: (*found).to_owned(),
        })
    }

    /// The statistics asked for, in `dtype`, from what engines computed.
    pub(super) fn finish(
        &self,
        request: &[RowStatistic],
        inputs: &RowInputs<'_>,
        lists: &[List],
        computed: &[Tensor],
        dtype: DType,
    ) -> Result<Vec<Tensor>, KernelError> {
        let (rows, listed) = computed.split_at(self.request.len());
        let one = |(asked, origin): (&RowStatistic, &Origin)| match *origin {
            Origin::Row(row) => Ok(rows[row].to_dtype(dtype).ok()?),
            Origin::Listed { listed: of, row } => {
                let list = &lists[self.listed[of].list];
                let row = row.map(|row| &rows[row]);
                Ok(statistic(asked, inputs, list, &listed[of], row)?.to_dtype(dtype).ok()?)
            }
        };
        request.iter().zip(&self.origins).map(one).collect()
    }
}

impl List {
    fn length(&self) -> usize {
        self.ids.length(2) as usize
    }

    fn is_present(&self) -> Tensor {
        self.ids.ge(0i64)
    }

    /// `[B, T]`: which rows have a token.
    fn is_any(&self) -> Tensor {
        self.is_present().any_dim(-1)
    }
}

/// A statistic of the listed tokens, `[B, T]`. `log_prob` are their log-probabilities over all tokens, and `row` is the
/// log-probability of the action or the logarithm of the sum over all tokens, if it is needed.
fn statistic(
    asked: &RowStatistic,
    inputs: &RowInputs<'_>,
    list: &List,
    log_prob: &Tensor,
    row: Option<&Tensor>,
) -> Result<Tensor, KernelError> {
    let (present, any) = (list.is_present(), list.is_any());
    // A row without tokens has numbers that do no harm until its value is replaced.
    let some = any.logical_not().unsqueeze(-1);
    let on_list = |x: &Tensor| {
        present.where_cond(x, &x.full(&[], f64::NEG_INFINITY, x.dtype())).masked_fill(&some, 0.0)
    };
    let log_prob = on_list(log_prob);
    let log_mass = log_prob.logsumexp(-1, false);
    let row = || row.expect("the split asks for it");
    // The expectation of `f` of the policy on the list.
    let expected = |f: &dyn Fn(&Tensor) -> Tensor| {
        let within = &log_prob - log_mass.unsqueeze(-1);
        weighed(&within, &f(&within))
    };
    let logits = |_: &Tensor| &log_prob + row().unsqueeze(-1);
    let value = match asked.statistic {
        Statistic::LogProbWithin => row() - &log_mass,
        Statistic::Entropy => -expected(&Tensor::clone),
        Statistic::Mass => log_mass.exp().clamp_max(1.0),
        Statistic::LogSumExp => &log_mass + row(),
        Statistic::Mean => expected(&logits),
        Statistic::SecondMoment => expected(&|within| logits(within).square()),
        Statistic::Variance => {
            let mean = expected(&Tensor::clone).unsqueeze(-1);
            expected(&|within| (within - &mean).square())
        }
        Statistic::Size => sum(&present.to_dtype(log_prob.dtype())),
        Statistic::Taught(taught) => {
            let values = inputs.field(taught.of, "real values `[B, T, K]` beside the ids")?;
            let ids = inputs.field(asked.listed().unwrap_or(taught.of), "ids")?;
            if values.size() != ids.size() {
                let expected = format!("{:?}, as the ids beside it", ids.size());
                return refuse(taught.of.as_str(), &expected, &format!("{:?}", values.size()));
            }
            check_usable(taught.of.as_str(), values)?;
            let values = values.detach().gather(-1, &list.order).to_dtype(log_prob.dtype());
            divergence(taught, &log_prob, &on_list(&values))
        }
        Statistic::ActionLogit
        | Statistic::LogProb
        | Statistic::ReverseKl
        | Statistic::ForwardKl
        | Statistic::JensenShannon(_) => unreachable!("they cover all tokens"),
    };
    Ok(any.where_cond(&value, &value.full(&[], 0.0, value.dtype())))
}

/// A divergence of log-probabilities `[B, T, K]`, `-inf` where there is no token.
fn divergence(taught: Taught, policy: &Tensor, teacher: &Tensor) -> Tensor {
    let prepared = |log_prob: &Tensor| match taught.rest {
        Rest::Ignore => log_prob.clone(),
        Rest::Renormalise => log_prob - log_prob.logsumexp(-1, true),
        Rest::Bucket => {
            let log_mass = log_prob.logsumexp(-1, true).clamp_max(-LEAST);
            Tensor::cat(&[log_prob.clone(), log_rest(&log_mass)], -1)
        }
    };
    let (policy, teacher) = (prepared(policy), prepared(teacher));
    match taught.divergence {
        Divergence::Reverse => weighed(&policy, &(&policy - &teacher)),
        Divergence::Forward => weighed(&teacher, &(&teacher - &policy)),
        Divergence::JensenShannon(beta) => {
            // Where neither has any, the derivative of the logarithm would be NaN.
            let none = policy.detach().maximum(&teacher).eq(f64::NEG_INFINITY);
            let share = |log_prob: &Tensor, share: f64| (log_prob + share.ln()).masked_fill(&none, 0.0);
            let mixture = share(&policy, 1.0 - beta).logaddexp(&share(&teacher, beta));
            weighed(&teacher, &(&teacher - &mixture)) * beta
                + weighed(&policy, &(&policy - &mixture)) * (1.0 - beta)
        }
    }
}

/// `ln (1 - e^x)`, in the form that keeps the digits of its gradient: torch has that of `expm1` as its result plus one.
fn log_rest(x: &Tensor) -> Tensor {
    let is_large = x.gt(-std::f64::consts::LN_2);
    is_large.where_cond(&(-x.expm1()).log(), &(-x.exp() + 1.0).log())
}

/// `Σ e^log_prob · f`; a token without probability adds nothing, for any `f`.
fn weighed(log_prob: &Tensor, f: &Tensor) -> Tensor {
    let p = log_prob.exp();
    let none = p.detach().eq(0.0);
    sum(&(p * f.masked_fill(&none, 0.0)))
}

fn sum(values: &Tensor) -> Tensor {
    values.sum_dim(-1, false, values.dtype())
}

fn check_size(
    name: &'static str,
    tensor: &Tensor,
    [batch, time]: [i64; 2],
    inputs: &RowInputs<'_>,
) -> Result<(), KernelError> {
    check_usable(name, tensor)?;
    let size = tensor.size();
    if !matches!(*size.as_slice(), [b, t, count] if [b, t] == [batch, time] && count > 0) {
        let expected = format!("[{batch}, {time}, K], at least one for each token");
        return refuse(name, &expected, &format!("{size:?}"));
    }
    if tensor.device() != inputs.mask.device() {
        let expected = format!("device {}, as the logits", inputs.mask.device());
        return refuse(name, &expected, &tensor.device().to_string());
    }
    Ok(())
}
