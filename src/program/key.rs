//! Keys by which equal operations are found.

use super::{NodeId, Op};
use std::mem::{Discriminant, discriminant};

/// An operation as a hash key. Numbers are compared bit for bit, so that 0 and -0 differ.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    operation: Discriminant<Op>,
    operands: Vec<NodeId>,
    numbers: Vec<u64>,
    name: String,
}

impl Key {
    pub(super) fn of(op: &Op) -> Self {
        let (mut numbers, mut name) = (Vec::new(), String::new());
        match op {
            Op::Constant(value) => numbers.push(value.to_bits()),
            Op::Boolean(value) => numbers.push(u64::from(*value)),
            Op::Field(field) => name.clone_from(field),
            // It shows every number and name, numbers with all their digits.
            Op::LogProb(row) | Op::Row(row) => name = format!("{row:?}"),
            Op::Controller(index) => numbers.push(*index as u64),
            Op::Unary(function, _) => numbers.push(*function as u64),
            Op::Binary(function, ..) => numbers.push(*function as u64),
            // The object determines how many of the operands are inputs.
            Op::Term { object, .. } | Op::Reduce { object, .. } => numbers.push(*object as u64),
            Op::Extra { name: extra, .. } => name.clone_from(extra),
            Op::Step
            | Op::Pooled(_)
            | Op::Quantile(..)
            | Op::TopFraction(..)
            | Op::Where(..)
            | Op::Clamp(..) => {}
        }
        Self { operation: discriminant(op), operands: op.operands(), numbers, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{FieldName, RowStatistic, Statistic, TokenSet};

    #[test]
    fn different_operations_have_different_keys() {
        let row = |set, temperature, statistic| Op::Row(RowStatistic::new(set, temperature, statistic));
        let x = NodeId(3);
        let ops = [
            Op::Constant(0.0),
            Op::Constant(-0.0),
            Op::Boolean(false),
            Op::Field("a".to_owned()),
            Op::Field("b".to_owned()),
            Op::Controller(0),
            Op::Step,
            Op::Pooled(x),
            Op::Pooled(NodeId(4)),
            Op::Quantile(x, NodeId(4)),
            Op::TopFraction(x, NodeId(4)),
            Op::Extra { term: x, name: "a".to_owned() },
            row(TokenSet::All, 1.0, Statistic::Entropy),
            row(TokenSet::TopK(3), 1.0, Statistic::Entropy),
            row(TokenSet::TopP(0.3), 1.0, Statistic::Entropy),
            row(TokenSet::MinP(0.3), 1.0, Statistic::Entropy),
            row(TokenSet::Given(FieldName::new("kept")), 1.0, Statistic::Entropy),
            row(TokenSet::Given(FieldName::new("others")), 1.0, Statistic::Entropy),
            row(TokenSet::All, 0.7, Statistic::Entropy),
            row(TokenSet::All, 1.0, Statistic::Mass),
            row(TokenSet::All, 1.0, Statistic::JensenShannon(0.5)),
            row(TokenSet::All, 1.0, Statistic::JensenShannon(0.4)),
            Op::Where(x, x, NodeId(4)),
            Op::Clamp(x, x, NodeId(4)),
            Op::Where(x, NodeId(4), x),
        ];
        for (at, a) in ops.iter().enumerate() {
            for (other, b) in ops.iter().enumerate() {
                assert_eq!(Key::of(a) == Key::of(b), at == other, "{a:?} and {b:?}");
            }
        }
    }
}
