//! What a program costs: how often the logits are read, and what a token takes in memory.

use aent::Program;
use aent::program::{NodeId, Op};
use aent::types::{Kind, Shape};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The parts of a program that cost something. Sizes are in values, so that the kind of the logits can be chosen later.
#[derive(Debug)]
pub(super) struct Cost {
    /// The row statistics, in words.
    pub(super) statistics: Vec<String>,
    /// Whether the loss sends gradient through a row statistic.
    gradient: bool,
    /// Whether `log_prob` is among them, which a batch may bring.
    log_prob: bool,
    /// Real values of one per token that the algebra above the statistics makes.
    reals: u64,
    /// Truth values of one per token.
    truths: u64,
}

impl Cost {
    /// Counts what the loss, the metrics, the signals and the named values need.
    pub(super) fn of(program: &Program) -> Self {
        let mut cost = Self { statistics: Vec::new(), gradient: false, log_prob: false, reals: 0, truths: 0 };
        let trained = needed(program, [program.loss], true);
        for id in needed(program, program.roots(), false) {
            let node = program.node(id);
            match &node.op {
                Op::Row(row) | Op::LogProb(row) => {
                    cost.statistics.push(row.to_string());
                    cost.gradient |= trained.contains(&id);
                    cost.log_prob |= matches!(node.op, Op::LogProb(_));
                    continue;
                }
                Op::Field(_) => continue,
                _ => {}
            }
            match (node.ty.shape, node.ty.kind) {
                (Shape::Token, Kind::Real) => cost.reals += 1,
                (Shape::Token, Kind::Bool) => cost.truths += 1,
                _ => {}
            }
        }
        cost
    }

    /// How often the logits are read and their gradient is written, in lines.
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
        if self.log_prob {
            let only = self.statistics.len() == 1;
            let rest = if only { "the logits are not read at all" } else { "that statistic is not computed" };
            // Writing into a string cannot fail.
            let _ = writeln!(out, "\nIf the batch brings `log_prob`, {rest}.");
        }
        out
    }

    /// The bytes that one token takes at a vocabulary, in lines: one for each kind of logits.
    pub(super) fn memory(&self, vocabulary: u64) -> String {
        let mut out = String::new();
        for (name, logit, value) in [("bf16, f16", 2, 4), ("f32", 4, 4), ("f64", 8, 8)] {
            let gradient = if self.gradient { logit * vocabulary } else { 0 };
            let statistics = value * self.statistics.len() as u64;
            let algebra = value * self.reals + self.truths;
            let _ = writeln!(
                out,
                "{name:<10} {} bytes: gradient of the logits {}, row statistics {}, formulas at most {}",
                grouped(gradient + statistics + algebra),
                grouped(gradient),
                grouped(statistics),
                grouped(algebra),
            );
        }
        let _ =
            writeln!(out, "\nwith a vocabulary of {} (`--vocabulary V` for another)", grouped(vocabulary));
        out
    }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The nodes that the roots are computed from, in the order of evaluation; `gradient` follows only those that carry it.
fn needed(program: &Program, roots: impl IntoIterator<Item = NodeId>, gradient: bool) -> BTreeSet<NodeId> {
    let mut open: Vec<NodeId> = roots.into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let node = program.node(id);
        if (node.gradient || !gradient) && seen.insert(id) {
            open.extend(node.op.operands());
        }
    }
    seen
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
    fn what_is_named_twice_is_computed_once() {
        let once = cost("loss = -token_mean(entropy)");
        let twice = cost("let a = entropy\nlet b = entropy()\nloss = -token_mean(a + b)/2");
        assert_eq!(once.statistics, twice.statistics);
        assert!(once.gradient);
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            (grouped(0), grouped(999), grouped(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
    }

    #[test]
    fn the_gradient_has_the_size_of_the_logits() {
        let cost = cost("loss = -token_mean(advantages * log_prob)");
        // One row statistic, its product with the advantages and its negation at most.
        assert!(cost.memory(1000).starts_with("bf16, f16  2,0"), "{}", cost.memory(1000));
        assert!(cost.passes().contains("the logits are not read at all"));
    }
}
