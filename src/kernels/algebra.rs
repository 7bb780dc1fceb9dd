//! From the sums of a row to the statistics asked for, in f64 and under torch's own autograd: each formula once, for
//! every engine.

use tch::Tensor;

use super::KernelError;
use super::engine::Found;
use super::plan::{Plan, facts, sums};
use crate::rows::Statistic;

/// The columns of what was found, `[N]` each.
pub(super) struct Columns {
    sums: Vec<Tensor>,
    facts: Vec<Tensor>,
}

/// The sums that one softmax is made of.
struct Softmax<'a> {
    /// `Σ e^u`.
    sum: &'a Tensor,
    /// `Σ u e^u`.
    first: &'a Tensor,
    /// `Σ u² e^u`.
    second: &'a Tensor,
}

impl Columns {
    pub(super) fn of(found: &Found) -> Result<Self, KernelError> {
        // One column after the other: each is worked on by itself.
        let columns = |lines: &Tensor| lines.f_tr()?.f_contiguous()?.f_unbind(0);
        Ok(Self { sums: columns(&found.sums)?, facts: columns(&found.facts)? })
    }

    /// A statistic of every row, `[N]`. The highest logit is a constant: what is added to all logits of a row changes
    /// the sums back.
    pub(super) fn statistic(&self, plan: &Plan, index: usize) -> Result<Tensor, KernelError> {
        let planned = &plan.statistics[index];
        let temperature = plan.passes[planned.pass].temperature;
        let sum = |column: usize| &self.sums[sums::of(planned.pass) + column];
        let fact = |column: usize| &self.facts[facts::of(planned.pass) + column];
        let softmax = |from: usize| Softmax { sum: sum(from), first: sum(from + 1), second: sum(from + 2) };
        let whole = softmax(sums::WHOLE);
        let asked = if planned.of_set { softmax(sums::INSIDE) } else { softmax(sums::WHOLE) };
        let (chosen, highest) = (&self.sums[sums::CHOSEN], &self.facts[facts::HIGHEST]);
        let shift = || highest.f_div_scalar(temperature);
        Ok(match planned.statistic {
            Statistic::ActionLogit => chosen.f_div_scalar(temperature)?,
            Statistic::LogProb => {
                chosen.f_sub(highest)?.f_div_scalar(temperature)?.f_sub(&whole.sum.f_log()?)?
            }
            Statistic::LogSumExp => shift()?.f_add(&asked.sum.f_log()?)?,
            Statistic::Mean => shift()?.f_add(&asked.mean()?)?,
            Statistic::SecondMoment => {
                let (shift, mean) = (shift()?, asked.mean()?);
                let square = asked.second.f_div(asked.sum)?;
                square.f_add(&shift.f_mul(&mean)?.f_mul_scalar(2.0)?)?.f_add(&shift.f_square()?)?
            }
            Statistic::Entropy => asked.sum.f_log()?.f_sub(&asked.mean()?)?,
            Statistic::Mass => asked.sum.f_div(whole.sum)?,
            // Of a row without a softmax, what it is multiplied with is NaN.
            Statistic::Size if planned.of_set => fact(facts::SIZE).shallow_clone(),
            Statistic::Size => highest.f_mul_scalar(0.0)?.f_add_scalar(plan.vocabulary as f64)?,
            Statistic::ReverseKl => {
                let constant = sum(sums::REFERENCE).f_log()?.f_sub(&whole.sum.f_log()?)?;
                sum(sums::REVERSE).f_div(whole.sum)?.f_add(&constant)?
            }
            Statistic::ForwardKl => {
                let constant = whole.sum.f_log()?.f_sub(&sum(sums::REFERENCE).f_log()?)?;
                sum(sums::FORWARD).f_div(sum(sums::REFERENCE))?.f_add(&constant)?
            }
            Statistic::JensenShannon(_) => sum(sums::JENSEN_SHANNON).shallow_clone(),
        })
    }
}

impl Softmax<'_> {
    /// `Σ p u`.
    fn mean(&self) -> Result<Tensor, KernelError> {
        Ok(self.first.f_div(self.sum)?)
    }
}
