//! What is read of the logits: the row statistics, and the log-probability of the actions.

use super::wrong::{field_error, first_of, kind_name, missing, place};
use super::{Part, Reading};
use crate::exec::Batch;
use crate::exec::error::{Error, Result};
use crate::kernels::{Moment, RowStatistic, row_statistics};
use crate::plan::Plan;
use crate::types::Type;
use tch::{Kind as TensorKind, Tensor};

impl Part {
    pub(super) fn read_rows(&mut self, plan: &Plan, batch: &Batch, reading: Reading) -> Result<()> {
        let own_log_prob = batch.get("log_prob").is_some();
        if plan.log_prob.is_some() && own_log_prob {
            self.log_prob = Some(self.read_field(batch, "log_prob", Type::TOKEN, true, reading.validate)?);
        }
        let derived = plan.log_prob.filter(|_| !own_log_prob);
        if plan.rows.is_empty() && derived.is_none() {
            return Ok(());
        }
        let needs = || match (plan.rows.first(), &derived) {
            (Some(row), _) => format!("float logits `[B, T, V]` for the {row}"),
            _ => "float logits `[B, T, V]` for `log_prob` (or `log_prob` itself)".to_owned(),
        };
        let logits = batch.get("logits").ok_or_else(|| missing("logits", needs()))?;
        let of_actions = |row: &RowStatistic| matches!(row.moment, Moment::ActionLogit | Moment::LogProb);
        let acts = derived.is_some() || plan.rows.iter().any(of_actions);
        let actions = self.read_actions(batch, logits, acts, reading.validate)?;
        let request: Vec<RowStatistic> = derived.iter().chain(&plan.rows).copied().collect();
        let mut results = row_statistics(logits, &actions, &self.mask, &request, reading.kernels)?;
        if reading.validate {
            self.check_rows(&request, &results)?;
        }
        self.rows = results.split_off(usize::from(derived.is_some()));
        if derived.is_some() {
            self.log_prob = results.pop();
        }
        Ok(())
    }

    fn read_actions(&self, batch: &Batch, logits: &Tensor, used: bool, validate: bool) -> Result<Tensor> {
        let (sequences, width) = self.size();
        let shape = logits.size();
        let kinds = [TensorKind::Float, TensorKind::Double, TensorKind::BFloat16, TensorKind::Half];
        if shape.len() != 3 || shape[0] != sequences || shape[1] != width || shape[2] < 1 {
            let expected = format!("[{sequences}, {width}, V], as `response_mask` is [{sequences}, {width}]");
            return Err(field_error("logits", expected, &format!("{shape:?}")));
        }
        if !kinds.contains(&logits.kind()) {
            return Err(field_error("logits", "f32, f64, bf16 or f16", kind_name(logits.kind())));
        }
        self.check_device("logits", logits)?;
        let Some(actions) = batch.get("actions") else {
            if used {
                return Err(missing("actions", "int64 `[B, T]`: the sampled token ids".to_owned()));
            }
            return Ok(self.mask.f_zeros_like()?.f_to_kind(TensorKind::Int64)?);
        };
        if actions.size() != [sequences, width] {
            let expected = format!("[{sequences}, {width}], as `response_mask`");
            return Err(field_error("actions", expected, &format!("{:?}", actions.size())));
        }
        let integers =
            [TensorKind::Int64, TensorKind::Int, TensorKind::Int16, TensorKind::Int8, TensorKind::Uint8];
        if !integers.contains(&actions.kind()) {
            return Err(field_error("actions", "int64 token ids", kind_name(actions.kind())));
        }
        self.check_device("actions", actions)?;
        let actions = actions.f_to_kind(TensorKind::Int64)?;
        if validate && used {
            let outside = actions.f_lt(0i64)?.f_logical_or(&actions.f_ge(shape[2])?)?;
            let outside = outside.f_logical_and(&self.mask)?;
            if let Some(at) = first_of(&outside)? {
                return Err(Error::Value {
                    name: "actions".to_owned(),
                    place: place(&at),
                    expected: format!("a token id in 0 .. {}", shape[2] - 1),
                    found: actions.f_int64_value(&at)?.to_string(),
                });
            }
        }
        Ok(actions)
    }

    /// A row without a softmax shows in its statistics, so that the logits need not be read again.
    fn check_rows(&self, request: &[RowStatistic], results: &[Tensor]) -> Result<()> {
        for (row, result) in request.iter().zip(results) {
            let wrong = result.f_isfinite()?.f_logical_not()?.f_logical_and(&self.mask)?;
            let Some(at) = first_of(&wrong)? else { continue };
            let value = result.f_double_value(&at)?;
            let found = if value == f64::NEG_INFINITY {
                "an action whose logit is -inf: the policy gives it no probability".to_owned()
            } else {
                format!("NaN, +inf, or nothing but -inf (the {row} is {value})")
            };
            return Err(Error::Value {
                name: "logits".to_owned(),
                place: place(&at),
                expected: "a row of finite logits, or -inf for banned tokens".to_owned(),
                found,
            });
        }
        Ok(())
    }
}
