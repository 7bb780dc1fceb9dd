//! A request as passes over a row, and the algebra between the sums of a pass and the statistics asked for.

use super::sums::{Border, Sums};
use crate::kernels::{Moment, RowStatistic, TokenSet};

/// What every row goes through.
pub(crate) struct Plan {
    pub(crate) passes: Vec<Pass>,
    pub(crate) statistics: Vec<Statistic>,
    /// Whether sums of second order are needed.
    pub(crate) second: bool,
}

/// One loop over a row: sums over all tokens at a temperature and, where there is a set, over it.
pub(crate) struct Pass {
    pub(crate) temperature: f64,
    pub(crate) set: Option<TokenSet>,
}

/// Where a statistic is read from.
pub(crate) struct Statistic {
    moment: Moment,
    pass: usize,
    /// Of the pass's set, not of all tokens.
    of_set: bool,
}

/// What the forward pass keeps of a row.
pub(crate) struct Row {
    /// The highest logit; NaN for a row without a softmax.
    pub(crate) highest: f64,
    /// The logit at the action.
    pub(crate) chosen: f64,
    /// How many tokens it has.
    pub(crate) vocabulary: usize,
    pub(crate) passes: Box<[Found]>,
}

/// What one pass found.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) whole: Sums,
    pub(crate) inside: Sums,
    pub(crate) border: Option<Border>,
}

/// The gradient of a row in one pass, as polynomials in `u` that multiply `e^u`.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Slopes {
    pub(crate) outside: [f64; 3],
    pub(crate) inside: [f64; 3],
}

impl Plan {
    pub(crate) fn new(request: &[RowStatistic], vocabulary: i64) -> Self {
        let mut plan = Self { passes: Vec::new(), statistics: Vec::new(), second: false };
        for asked in request {
            let set = match asked.moment {
                Moment::ActionLogit | Moment::LogProb => TokenSet::All,
                _ => asked.set.simplified(vocabulary),
            };
            let pass = plan.pass(asked.temperature, (set != TokenSet::All).then_some(set));
            plan.statistics.push(Statistic { moment: asked.moment, pass, of_set: set != TokenSet::All });
            plan.second |= asked.moment == Moment::SecondMoment;
        }
        plan
    }

    /// The pass that has the sums: the first set of a temperature shares a loop with all tokens.
    fn pass(&mut self, temperature: f64, set: Option<TokenSet>) -> usize {
        let same = |pass: &Pass| pass.temperature.to_bits() == temperature.to_bits();
        let found = self.passes.iter().position(|pass| same(pass) && (set.is_none() || pass.set == set));
        if let Some(index) = found {
            return index;
        }
        if let Some(index) = self.passes.iter().position(|pass| same(pass) && pass.set.is_none()) {
            self.passes[index].set = set;
            return index;
        }
        self.passes.push(Pass { temperature, set });
        self.passes.len() - 1
    }

    /// Whether finding a set needs room for a row.
    pub(crate) fn needs_scratch(&self) -> bool {
        self.passes.iter().any(|pass| matches!(pass.set, Some(TokenSet::TopK(_) | TokenSet::TopP(_))))
    }

    /// The value of a statistic.
    pub(crate) fn value(&self, index: usize, row: &Row) -> f64 {
        if row.highest.is_nan() {
            return f64::NAN;
        }
        let statistic = &self.statistics[index];
        let found = &row.passes[statistic.pass];
        let temperature = self.passes[statistic.pass].temperature;
        let [sum, first, second] = if statistic.of_set { found.inside } else { found.whole };
        let highest = row.highest / temperature;
        let mean = first / sum;
        match statistic.moment {
            Moment::ActionLogit => row.chosen / temperature,
            Moment::LogProb => (row.chosen - row.highest) / temperature - sum.ln(),
            Moment::LogSumExp => highest + sum.ln(),
            Moment::Mean => highest + mean,
            Moment::SecondMoment => second / sum + 2.0 * highest * mean + highest * highest,
            Moment::Entropy => sum.ln() - mean,
            Moment::Mass => sum / found.whole[0],
            Moment::Size => match found.border {
                Some(border) if statistic.of_set => border.size as f64,
                _ => row.vocabulary as f64,
            },
        }
    }

    /// The gradient of `Σ cotangent · statistic` by the logits of the row: the polynomials of each pass, and what
    /// the action has on top.
    pub(crate) fn slopes(
        &self,
        row: &Row,
        cotangents: impl Fn(usize) -> f64,
        slopes: &mut Vec<Slopes>,
    ) -> f64 {
        slopes.clear();
        slopes.resize(self.passes.len(), Slopes::default());
        let mut at_action = 0.0;
        for (index, statistic) in self.statistics.iter().enumerate() {
            let temperature = self.passes[statistic.pass].temperature;
            // By the logit itself, where the polynomials are by logit over temperature.
            let cotangent = cotangents(index) / temperature;
            if cotangent == 0.0 {
                continue;
            }
            let found = &row.passes[statistic.pass];
            let [sum, first, second] = if statistic.of_set { found.inside } else { found.whole };
            let highest = row.highest / temperature;
            let mean = first / sum;
            let share = cotangent / sum;
            let by_u = match statistic.moment {
                Moment::ActionLogit => {
                    at_action += cotangent;
                    continue;
                }
                Moment::LogProb => {
                    at_action += cotangent;
                    [-share, 0.0, 0.0]
                }
                Moment::LogSumExp => [share, 0.0, 0.0],
                Moment::Mean => [share * (1.0 - mean), share, 0.0],
                Moment::SecondMoment => {
                    let constant = 2.0 * highest - 2.0 * highest * mean - second / sum;
                    [share * constant, share * (2.0 * highest + 2.0), share]
                }
                Moment::Entropy => [share * mean, -share, 0.0],
                Moment::Mass if statistic.of_set => {
                    let whole = found.whole[0];
                    let pass = &mut slopes[statistic.pass];
                    let (inside, outside) =
                        (cotangent * (1.0 - sum / whole) / whole, -cotangent * sum / whole / whole);
                    pass.inside[0] += inside;
                    pass.outside[0] += outside;
                    continue;
                }
                Moment::Mass | Moment::Size => continue,
            };
            let pass = &mut slopes[statistic.pass];
            for (degree, slope) in by_u.into_iter().enumerate() {
                pass.inside[degree] += slope;
                if !statistic.of_set {
                    pass.outside[degree] += slope;
                }
            }
        }
        at_action
    }
}
