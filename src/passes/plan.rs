//! Turns a request into passes over a row: which sums an engine computes, and the columns that it writes.

use crate::rows::{RowStatistic, Statistic, TokenSet, references};

/// The passes over every row.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) passes: Vec<Pass>,
    pub(crate) statistics: Vec<Planned>,
    /// Whether sums of second order are needed.
    pub(crate) second: bool,
    pub(crate) vocabulary: i64,
    /// What the policy is compared with, each once: see [`crate::rows::references`].
    pub(crate) references: usize,
    /// How many tokens each list of ids has. Their logits are the last columns of the sums.
    pub(crate) lists: Vec<usize>,
}

/// One loop over a row at a temperature: sums over all tokens and, if there is a set, over the set.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) temperature: f64,
    /// Whether the divisor of each row is multiplied to the temperature.
    pub(crate) divided: bool,
    /// Never `All` or `Drop`.
    pub(crate) set: Option<TokenSet>,
    /// The reference that the row is compared with, if it is.
    pub(crate) compares: Option<usize>,
    /// The weight of a Jensen-Shannon divergence.
    pub(crate) beta: Option<f64>,
}

/// The source of a statistic.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) statistic: Statistic,
    pub(crate) pass: usize,
    /// Whether it covers the pass's set, not all tokens.
    pub(crate) of_set: bool,
    /// The column with the logit of its token.
    pub(crate) chosen: usize,
    /// How many tokens it is computed for, if it is for those of a list: their logits begin at `chosen`.
    pub(crate) tokens: Option<usize>,
}

/// A request for the log-probability of every token of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Listed {
    /// The list.
    pub(crate) list: usize,
    /// The divisor of the logits.
    pub(crate) temperature: f64,
    /// Whether each row has one more.
    pub(crate) divided: bool,
}

impl Pass {
    /// The temperature at a row with that divisor.
    pub(crate) fn at(&self, divisor: f64) -> f64 {
        if self.divided { self.temperature * divisor } else { self.temperature }
    }
}

impl Planned {
    /// How many values each row has of it.
    pub(crate) fn values(&self) -> usize {
        self.tokens.unwrap_or(1)
    }
}

/// Columns of the sums, which carry gradient. Let `x` be the row, `h` its highest logit and
/// `u = (x - h) / temperature`; for the reference, `y`, `g` and `v` likewise. The first column is the logit of the
/// action, each pass adds [`sums::PER_PASS`], zero unless requested, and last come the logits of listed tokens, zero
/// where an id is -1.
pub(crate) mod sums {
    /// `x[action]`.
    pub(crate) const CHOSEN: usize = 0;
    pub(crate) const PER_PASS: usize = 10;
    /// `Σ e^u`, `Σ u e^u` and `Σ u² e^u` over all tokens.
    pub(crate) const WHOLE: usize = 0;
    /// The same over the set.
    pub(crate) const INSIDE: usize = 3;
    /// `Σ e^v`.
    pub(crate) const REFERENCE: usize = 6;
    /// `Σ e^u (u - v)`.
    pub(crate) const REVERSE: usize = 7;
    /// `Σ e^v (v - u)`.
    pub(crate) const FORWARD: usize = 8;
    /// `β KL(ρ‖m) + (1-β) KL(π‖m)`.
    pub(crate) const JENSEN_SHANNON: usize = 9;

    /// The first column of a pass.
    pub(crate) const fn of(pass: usize) -> usize {
        1 + pass * PER_PASS
    }
}

/// Columns of the facts, which carry no gradient: `h`, the row's divisor, and [`facts::PER_PASS`] for each pass.
pub(crate) mod facts {
    pub(crate) const HIGHEST: usize = 0;
    /// What the batch divides the row's logits by; one if it does not, or if the row does not count.
    pub(crate) const DIVISOR: usize = 1;
    pub(crate) const PER_PASS: usize = 6;
    /// Tokens before `CUT` are in the set if their logit is at least this.
    pub(crate) const FROM: usize = 0;
    /// The others are in the set if their logit is at least this.
    pub(crate) const FROM_AFTER: usize = 1;
    pub(crate) const CUT: usize = 2;
    /// The number of tokens in the set.
    pub(crate) const SIZE: usize = 3;
    /// `KL(π‖m)`.
    pub(crate) const TO_MIXTURE: usize = 4;
    /// `g`.
    pub(crate) const REFERENCE_HIGHEST: usize = 5;

    /// The first column of a pass.
    pub(crate) const fn of(pass: usize) -> usize {
        2 + pass * PER_PASS
    }
}

impl Plan {
    /// Plans statistics, none of a given set, and the log-probabilities of listed tokens after them. `lists` has the
    /// length of each list.
    pub(crate) fn new(request: &[RowStatistic], listed: &[Listed], lists: &[usize], vocabulary: i64) -> Self {
        let references = references(request);
        let mut plan = Self {
            passes: Vec::new(),
            statistics: Vec::new(),
            second: false,
            vocabulary,
            references: references.len(),
            lists: lists.to_vec(),
        };
        for asked in request {
            let set = Some(asked.effective_set(vocabulary)).filter(|set| *set != TokenSet::All);
            let beta = match asked.statistic {
                Statistic::JensenShannon(beta) => Some(beta),
                _ => None,
            };
            let compares = asked.statistic.needs_reference();
            let compares =
                compares.then(|| references.iter().position(|of| *of == asked.reference)).flatten();
            let pass = plan.pass((asked.temperature, asked.divisor.is_some()), set, compares, beta);
            plan.statistics.push(Planned {
                statistic: asked.statistic,
                pass,
                of_set: set.is_some(),
                chosen: sums::CHOSEN,
                tokens: None,
            });
            plan.second |= matches!(asked.statistic, Statistic::SecondMoment | Statistic::Variance);
        }
        let of_list = |of: &Listed| plan.pass((of.temperature, of.divided), None, None, None);
        let passes: Vec<usize> = listed.iter().map(of_list).collect();
        for (of, pass) in listed.iter().zip(passes) {
            plan.statistics.push(Planned {
                statistic: Statistic::LogProb,
                pass,
                of_set: false,
                chosen: plan.first_listed() + lists[..of.list].iter().sum::<usize>(),
                tokens: Some(lists[of.list]),
            });
        }
        plan
    }

    pub(crate) fn sums(&self) -> usize {
        self.first_listed() + self.lists.iter().sum::<usize>()
    }

    /// The first of the columns with logits of listed tokens.
    pub(crate) fn first_listed(&self) -> usize {
        sums::of(self.passes.len())
    }

    /// How many values each row has of all statistics.
    pub(crate) fn values(&self) -> usize {
        self.statistics.iter().map(Planned::values).sum()
    }

    pub(crate) fn facts(&self) -> usize {
        facts::of(self.passes.len())
    }

    /// Fills the lines, all zero, of a row that does not count.
    pub(crate) fn skip(&self, sums: &mut [f64], facts: &mut [f64]) {
        facts[facts::DIVISOR] = 1.0;
        for pass in 0..self.passes.len() {
            for column in [sums::WHOLE, sums::INSIDE, sums::REFERENCE] {
                // One, because its logarithm is finite.
                sums[sums::of(pass) + column] = 1.0;
            }
        }
    }

    /// Whether the batch divides the logits of each row.
    pub(crate) fn divides(&self) -> bool {
        self.passes.iter().any(|pass| pass.divided)
    }

    /// Whether finding a set needs buffers for a row.
    pub(crate) fn ranks(&self) -> bool {
        self.passes.iter().any(|pass| matches!(pass.set, Some(TokenSet::TopK(_) | TokenSet::TopP(_))))
    }

    /// The pass with the sums: the first set, the first reference and the first weight of a temperature share its loop over all
    /// tokens.
    fn pass(
        &mut self,
        (temperature, divided): (f64, bool),
        set: Option<TokenSet>,
        compares: Option<usize>,
        beta: Option<f64>,
    ) -> usize {
        let fits = |pass: &Pass, free: bool| {
            (pass.temperature.to_bits(), pass.divided) == (temperature.to_bits(), divided)
                && (set.is_none() || pass.set == set || (free && pass.set.is_none()))
                && (compares.is_none() || pass.compares == compares || (free && pass.compares.is_none()))
                && (beta.is_none() || pass.beta == beta || (free && pass.beta.is_none()))
        };
        let found = self.passes.iter().position(|pass| fits(pass, false));
        let found = found.or_else(|| self.passes.iter().position(|pass| fits(pass, true)));
        let Some(index) = found else {
            self.passes.push(Pass { temperature, divided, set, compares, beta });
            return self.passes.len() - 1;
        };
        let pass = &mut self.passes[index];
        (pass.set, pass.beta) = (pass.set.or(set), pass.beta.or(beta));
        pass.compares = pass.compares.or(compares);
        index
    }
}
