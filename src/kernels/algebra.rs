//! From the sums of a row to the statistics asked for, in f64 and under torch's own autograd: each formula once, for
//! every engine.

use crate::tensor::Tensor;

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
    pub(super) fn of(found: &Found) -> Self {
        // One column after the other: each is worked on by itself.
        let columns = |lines: &Tensor| {
            let lines = lines.transpose().contiguous();
            (0..lines.length(0)).map(|column| lines.select(0, column)).collect()
        };
        Self { sums: columns(&found.sums), facts: columns(&found.facts) }
    }

    /// A statistic of every row, `[N]`. The highest logit is a constant: what is added to all logits of a row changes
    /// the sums back.
    pub(super) fn statistic(&self, plan: &Plan, index: usize) -> Tensor {
        let planned = &plan.statistics[index];
        let temperature = plan.passes[planned.pass].temperature;
        let sum = |column: usize| &self.sums[sums::of(planned.pass) + column];
        let fact = |column: usize| &self.facts[facts::of(planned.pass) + column];
        let softmax = |from: usize| Softmax { sum: sum(from), first: sum(from + 1), second: sum(from + 2) };
        let whole = softmax(sums::WHOLE);
        let asked = if planned.of_set { softmax(sums::INSIDE) } else { softmax(sums::WHOLE) };
        let (chosen, highest) = (&self.sums[sums::CHOSEN], &self.facts[facts::HIGHEST]);
        let shift = || highest / temperature;
        match planned.statistic {
            Statistic::ActionLogit => chosen / temperature,
            Statistic::LogProb => (chosen - highest) / temperature - whole.sum.log(),
            Statistic::LogSumExp => shift() + asked.sum.log(),
            Statistic::Mean => shift() + asked.mean(),
            Statistic::SecondMoment => {
                let (shift, mean) = (shift(), asked.mean());
                asked.second / asked.sum + &shift * mean * 2.0 + shift.square()
            }
            Statistic::Entropy => asked.sum.log() - asked.mean(),
            Statistic::Mass => asked.sum / whole.sum,
            // Of a row without a softmax, what it is multiplied with is NaN.
            Statistic::Size if planned.of_set => fact(facts::SIZE).clone(),
            Statistic::Size => highest * 0.0 + plan.vocabulary as f64,
            Statistic::ReverseKl => {
                let constant = sum(sums::REFERENCE).log() - whole.sum.log();
                sum(sums::REVERSE) / whole.sum + constant
            }
            Statistic::ForwardKl => {
                let constant = whole.sum.log() - sum(sums::REFERENCE).log();
                sum(sums::FORWARD) / sum(sums::REFERENCE) + constant
            }
            Statistic::JensenShannon(_) => sum(sums::JENSEN_SHANNON).clone(),
        }
    }
}

impl Softmax<'_> {
    /// `Σ p u`.
    fn mean(&self) -> Tensor {
        self.first / self.sum
    }
}
