//! Counts the cost of a program: row statistics, passes over the logits, and values computed per token.

use aent::Program;
use aent::fields::LogitFields;
use aent::passes::loops;
use aent::plan::{FirstPass, Leaf, Plan};
use aent::rows::{RowStatistic, TokenSet, references};
use aent::types::{Kind, Shape};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The parts of a program that cost something. Sizes count values, independently of the kind of the logits.
#[derive(Debug)]
pub(super) struct Cost {
    /// The row statistics.
    pub(super) statistics: Vec<RowStatistic>,
    /// The fields that list tokens.
    pub(super) lists: BTreeSet<&'static str>,
    /// The fields with values beside them.
    pub(super) beside: BTreeSet<&'static str>,
    /// What must be known of all parts of a step before the first one can give its gradient.
    pub(super) first_pass: FirstPass,
    /// Whether the loss sends gradient through a row statistic.
    pub(super) gradient: bool,
    /// Whether `log_prob` is among the statistics, which a batch may bring instead.
    log_prob: bool,
    /// The number of real values per token that the formulas compute.
    pub(super) reals: u64,
    /// The number of truth values per token.
    pub(super) truths: u64,
}

impl Cost {
    /// Counts what the loss, the metrics, the signals and the `let`s need.
    pub(super) fn of(program: &Program) -> Self {
        let plan = Plan::new(program, true);
        let statistics: Vec<RowStatistic> = plan.log_prob.iter().chain(&plan.rows).copied().collect();
        let mut cost = Self {
            lists: statistics.iter().filter_map(|row| Some(row.listed()?.as_str())).collect(),
            beside: statistics.iter().filter_map(|row| Some(row.taught()?.of.as_str())).collect(),
            statistics,
            first_pass: plan.first_pass,
            gradient: false,
            log_prob: plan.log_prob.is_some(),
            reals: 0,
            truths: 0,
        };
        for (node, plan) in program.nodes.iter().zip(&plan.nodes).filter(|(_, plan)| plan.needed) {
            match (plan.leaf, node.ty.shape, node.ty.kind) {
                (Some(Leaf::Row(_) | Leaf::LogProb), ..) => cost.gradient |= plan.tracked,
                (None, Shape::Token, Kind::Real) => cost.reals += 1,
                (None, Shape::Token, Kind::Bool) => cost.truths += 1,
                _ => {}
            }
        }
        cost
    }

    /// Whether a token set must be found by ranks.
    pub(super) fn ranks(&self) -> bool {
        let by_rank = |set| matches!(set, TokenSet::Drop(_) | TokenSet::TopK(_) | TokenSet::TopP(_));
        self.statistics.iter().any(|row| by_rank(row.set))
    }

    /// The fields with logits that are read too.
    pub(super) fn references(&self) -> Vec<LogitFields> {
        references(&self.statistics).into_iter().map(LogitFields::of_reference).collect()
    }

    /// Lines that say how often the logits are read and their gradient is written.
    pub(super) fn passes(&self) -> String {
        let (forward, backward) = match (self.statistics.is_empty(), self.gradient) {
            (true, _) => ("none", "none"),
            (false, false) => ("the logits are read once, for all statistics together", "none"),
            (false, true) => (
                "the logits are read once, for all statistics together",
                "the logits are read once more and their gradient is written once",
            ),
        };
        let mut out = format!("forward   {forward}\nbackward  {backward}\n");
        let references: Vec<String> = self.references().iter().map(|of| format!("`{}`", of.logits)).collect();
        if !references.is_empty() {
            // Writing into a string cannot fail.
            let _ = writeln!(out, "\nBeside them, {} are read.", references.join(" and "));
        }
        if !self.lists.is_empty() {
            let lists: Vec<String> = self.lists.iter().map(|name| format!("`{name}`")).collect();
            // Writing into a string cannot fail.
            let _ = writeln!(out, "\nThe logits of the tokens in {} are read with them.", lists.join(", "));
        }
        let loops = loops(&self.statistics);
        if loops > 1 {
            // Writing into a string cannot fail.
            let _ = writeln!(
                out,
                "\nEach row is gone through {loops} times while it is in the cache: once for each temperature, set and weight."
            );
        }
        if !self.statistics.is_empty() {
            out.push_str("\n`--kernels reference` reads them several times instead, and allocates several tensors of their size.\n");
        }
        if self.log_prob {
            let only = self.statistics.len() == 1;
            let rest = if only { "the logits are not read at all" } else { "that statistic is not computed" };
            // Writing into a string cannot fail.
            let _ = writeln!(out, "If the batch brings `log_prob`, {rest}.");
        }
        out
    }
}

/// How often the logits are read, in a few words.
pub(super) fn read(gradient: bool) -> &'static str {
    if gradient { "logits read twice" } else { "logits read once" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(text: &str) -> Cost {
        Cost::of(&aent::compile(text).unwrap())
    }

    #[test]
    fn statistics_that_only_a_metric_reads_send_no_gradient() {
        let cost = cost(
            "loss = token_mean((values - returns) ^ 2) # aent: allow(gradient-misses-policy)\nmetric e = token_mean(entropy)",
        );
        assert_eq!(cost.statistics.len(), 1);
        assert!(!cost.gradient);
        assert!(cost.passes().contains("backward  none"));
    }

    #[test]
    fn a_temperature_of_its_own_is_one_more_loop() {
        let told = "Each row is gone through 2 times";
        let own = cost("loss = -token_mean(entropy() + 0.1 * entropy(temperature = 0.7))");
        assert!(own.passes().contains(told));
        let same =
            cost("set temperature = 0.7\nloss = -token_mean(entropy() + 0.1 * entropy(temperature = 0.7))");
        assert_eq!(same.statistics.len(), 1);
        assert!(!same.passes().contains("times while"));
    }

    #[test]
    fn what_is_named_twice_is_computed_once() {
        let once = cost("loss = -token_mean(entropy)");
        let twice = cost("let a = entropy\nlet b = entropy()\nloss = -token_mean(a + b)/2");
        assert_eq!(once.statistics, twice.statistics);
        assert!(once.gradient);
    }

    #[test]
    fn a_batch_may_spare_reading_the_logits() {
        let cost = cost("loss = -token_mean(advantages * log_prob)");
        assert!(cost.passes().contains("the logits are not read at all"));
    }
}
