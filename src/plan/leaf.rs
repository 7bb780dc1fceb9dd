//! Where the executor finds the values that are read, not computed: resolved once, so that no step looks a name up.

use super::Plan;
use crate::fields::{self, RESPONSE_MASK};
use crate::program::{Node, Op};
use crate::types::{Shape, Type, Unit};

/// A batch field that the program reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each answers one question of the executor")]
pub struct FieldPlan {
    /// Its name.
    pub name: String,
    /// Its type in a formula.
    pub ty: Type,
    /// Whether gradient flows into it.
    pub gradient: bool,
    /// Whether a batch may bring one value per sequence in place of one per token.
    pub per_sequence: bool,
    /// Whether its values are log-probabilities.
    pub log_prob: bool,
    /// As of its node: whether the loss, a metric, a signal or a wanted `let` needs it.
    pub needed: bool,
    /// As of its node: whether it is read before any part gives its share.
    pub looked_first: bool,
}

/// Where a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// The mask.
    Mask,
    /// A batch field, by its number among [`Plan::fields`].
    Field(usize),
    /// The log-probability of the actions.
    LogProb,
    /// A row statistic, by its number among [`Plan::rows`].
    Row(usize),
}

impl FieldPlan {
    /// Whether it is a scalar of which each part of a step has its own value: one that carries gradient comes from the model.
    pub(crate) fn is_of_each_part(&self) -> bool {
        self.gradient && self.ty.shape == Shape::Scalar
    }

    /// A field by its name, as a batch brings it.
    pub(crate) fn of(name: &str, ty: Type) -> Self {
        let known = fields::find(name);
        Self {
            name: name.to_owned(),
            ty,
            gradient: known.is_some_and(|field| field.gradient),
            per_sequence: known.is_some_and(|field| field.per_sequence),
            log_prob: known.is_some_and(|field| field.unit == Unit::LogProb),
            needed: false,
            looked_first: false,
        }
    }
}

impl Plan {
    /// Where a node's value is read, if it is. Adds what the node reads to the plan's lists; a row statistic that is not
    /// `needed` is not asked for.
    pub(super) fn leaf(&mut self, node: &Node, needed: bool) -> Option<Leaf> {
        match &node.op {
            Op::Field(name) if name == RESPONSE_MASK => Some(Leaf::Mask),
            Op::Field(name) => {
                let known = self.fields.iter().position(|field| field.name == *name);
                Some(Leaf::Field(known.unwrap_or_else(|| {
                    self.fields.push(FieldPlan { gradient: node.gradient, ..FieldPlan::of(name, node.ty) });
                    self.fields.len() - 1
                })))
            }
            Op::LogProb(row) => {
                if needed {
                    self.log_prob = Some(*row);
                }
                Some(Leaf::LogProb)
            }
            Op::Row(row) if needed => {
                self.rows.push(*row);
                Some(Leaf::Row(self.rows.len() - 1))
            }
            _ => None,
        }
    }
}
