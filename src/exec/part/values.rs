//! The values that a program reads, checked all at once: each question that is answered waits for the device.

use super::wrong::{FINITE, first_of, place, refuse_values};
use super::{Part, log_prob};
use crate::exec::error::{Error, Result};
use crate::rows::RowStatistic;
use crate::tensor::{DType, Device, Tensor};
use crate::types::Shape;

/// A tensor whose values are to be checked.
pub(super) struct Check {
    pub(super) name: String,
    pub(super) tensor: Tensor,
    pub(super) shape: Shape,
    pub(super) wanted: Wanted,
}

/// What its values have to be.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Finite,
    /// Finite and above zero.
    Positive,
    /// A log-probability, which the batch brought in that type.
    LogProb(DType),
    /// Finite, as a row without a softmax is not.
    Row(RowStatistic),
}

impl Part {
    /// Refuses the first check that fails, in the order in which they were made.
    pub(super) fn settle(&self, checks: &[Check]) -> Result<()> {
        if checks.is_empty() {
            return Ok(());
        }
        let wrong = if self.device() == Device::Cpu {
            checks.iter().map(|check| self.is_wrong_here(check)).collect::<Result<Vec<bool>>>()?
        } else {
            let wrong: Vec<Tensor> = checks.iter().map(|check| self.wrong(check).any()).collect();
            Tensor::stack(&wrong, 0).to_u8s()?.into_iter().map(|wrong| wrong != 0).collect()
        };
        let Some(failed) = wrong.iter().position(|wrong| *wrong) else { return Ok(()) };
        self.refuse(&checks[failed])
    }

    /// The same on the CPU, where reading costs less than an operation.
    fn is_wrong_here(&self, check: &Check) -> Result<bool> {
        let is_wrong = |value: f64| {
            let is_out = match check.wanted {
                Wanted::LogProb(brought) => value > log_prob::slack(brought),
                Wanted::Positive => value <= 0.0,
                Wanted::Finite | Wanted::Row(_) => false,
            };
            is_out || !value.is_finite()
        };
        // A tensor of a class that wraps others may have no memory to read.
        let (Ok(values), Some(tokens)) = (check.tensor.to_wide(), self.mask.on_host()) else {
            return Ok(self.wrong(check).any().i64_at(&[])? != 0);
        };
        let width = self.size().1 as usize;
        let counts = |at: usize| match check.shape {
            Shape::Token => tokens[at] != 0,
            Shape::Seq => tokens[at * width..(at + 1) * width].contains(&1),
            Shape::Scalar => true,
        };
        Ok(values.into_iter().enumerate().any(|(at, value)| is_wrong(value) && counts(at)))
    }

    /// Where the values are wrong and count.
    fn wrong(&self, check: &Check) -> Tensor {
        let not_finite = check.tensor.isfinite().logical_not();
        let wrong = match check.wanted {
            Wanted::LogProb(brought) => check.tensor.gt(log_prob::slack(brought)).logical_or(&not_finite),
            Wanted::Positive => check.tensor.le(0.0).logical_or(&not_finite),
            Wanted::Finite | Wanted::Row(_) => not_finite,
        };
        match self.counted(check.shape) {
            Some(counted) => wrong.logical_and(counted),
            None => wrong,
        }
    }

    fn refuse(&self, check: &Check) -> Result<()> {
        let Check { name, tensor, shape, wanted } = check;
        let counted = self.counted(*shape);
        let not_finite = tensor.isfinite().logical_not();
        match (wanted, counted) {
            (Wanted::LogProb(brought), Some(counted)) => {
                log_prob::check(name, tensor, *brought, &not_finite, counted)
            }
            (Wanted::Row(row), _) => self.refuse_row(row, tensor),
            (Wanted::Positive, _) => {
                let wrong = tensor.le(0.0).logical_or(&not_finite);
                refuse_values(name, tensor, wrong, counted, "a temperature above zero and finite")
            }
            _ => refuse_values(name, tensor, not_finite, counted, FINITE),
        }
    }

    /// A row without a softmax shows in its statistics, so that the logits need not be read again.
    fn refuse_row(&self, row: &RowStatistic, result: &Tensor) -> Result<()> {
        let wrong = result.isfinite().logical_not().logical_and(&self.mask.tokens);
        let Some(at) = first_of(&wrong)? else { return Ok(()) };
        let value = result.f64_at(&at)?;
        let found = if value == f64::NEG_INFINITY && row.statistic.needs_action() {
            "an action whose logit is -inf: the policy gives it no probability".to_owned()
        } else {
            format!("NaN, +inf, or nothing but -inf (the {row} is {value})")
        };
        let expected = match row.listed() {
            Some(list) => {
                format!("finite logits, or -inf for banned tokens, of which `{list}` is not all made")
            }
            None => "a row of finite logits, or -inf for banned tokens".to_owned(),
        };
        Err(Error::Value { name: "logits".to_owned(), place: place(&at), expected, found })
    }
}
