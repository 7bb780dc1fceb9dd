//! The schedule of a program: which values carry gradient, which row statistics are requested, and what a micro-batch
//! needs from the rest of its step.

mod display;
mod leaf;
mod requires;
mod share;

pub use leaf::{FieldPlan, Leaf};
pub use requires::{Need, Requirement};
pub use share::Share;

use crate::program::{NodeId, Op, Program};
use crate::rows::RowStatistic;
use crate::types::{InputType, Shape};
pub(crate) use share::grouped;
use share::share;
use std::collections::BTreeSet;

/// The schedule of one program.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is known of each node.
    pub nodes: Vec<NodePlan>,
    /// The batch fields that the program reads, without the mask and `log_prob`.
    pub fields: Vec<FieldPlan>,
    /// The row statistics to compute, besides `log_prob`.
    pub rows: Vec<RowStatistic>,
    /// How to derive `log_prob` if the batch lacks it; `None` if the program does not need it.
    pub log_prob: Option<RowStatistic>,
    /// Whether a field that divides the logits has one value for each sequence, as the program declares it.
    pub divisor_of_sequences: bool,
    /// What to read from all parts of a step before the first gradient.
    pub first_pass: FirstPass,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each answers one question of the executor")]
pub struct NodePlan {
    /// Whether the loss, a metric, a signal or a wanted `let` needs it.
    pub needed: bool,
    /// Whether the loss needs it.
    pub of_loss: bool,
    /// Whether it is computed under autograd, because the loss's gradient flows through it.
    pub tracked: bool,
    /// Whether it depends on the logits, the log-probabilities or the critic's values.
    pub from_model: bool,
    /// Whether it is computed on the whole step before any part gives its share.
    pub looked_first: bool,
    /// How its value on a part of a step relates to the whole step's.
    pub share: Share,
    /// Where its value is read, if it is not computed.
    pub leaf: Option<Leaf>,
    /// The extras of a term that the program reads.
    pub extras: Vec<String>,
}

/// What the first pass over the parts of a step reads. A step in one part needs no first pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirstPass {
    /// The masks, for the denominators.
    Counts,
    /// The batch fields too: a value spans the batch, but does not depend on the model.
    Fields,
    /// The model's output too: the loss is not a sum over the parts, or a value that spans the batch depends on the model.
    Model,
}

impl Plan {
    /// Plans a program. With `lets`, named values are computed too.
    pub fn new(program: &Program, lets: bool) -> Self {
        Self::with_groups(program, lets, &BTreeSet::new())
    }

    /// The same for steps whose micro-batches have whole groups, by these fields: what looks no further than a group is
    /// computed on the micro-batch.
    pub fn with_groups(program: &Program, lets: bool, groups: &BTreeSet<String>) -> Self {
        let roots = program.roots().take(if lets { usize::MAX } else { count_without_lets(program) });
        let (needed, of_loss) = (reachable(program, roots), reachable(program, [program.loss]));
        // Gradient goes no further than a value that carries none.
        let carries = |index: usize| program.nodes[index].gradient;
        let trained = reachable_past(program, [program.loss], |index| !carries(index));
        let mut plan = Self {
            nodes: Vec::new(),
            fields: Vec::new(),
            rows: Vec::new(),
            log_prob: None,
            divisor_of_sequences: divisor_of_sequences(program),
            first_pass: FirstPass::Counts,
        };
        let mut shares = Vec::with_capacity(program.nodes.len());
        for (index, node) in program.nodes.iter().enumerate() {
            shares.push(share(program, &shares, index, groups));
            let leaf = plan.leaf(node, needed[index]);
            let from_model = match (&node.op, leaf) {
                (Op::LogProb(_) | Op::Row(_), _) => true,
                (_, Some(Leaf::Field(field))) => plan.fields[field].gradient,
                (op, _) => op.operands().iter().any(|id| plan.nodes[id.index()].from_model),
            };
            if let Op::Extra { term, name } = &node.op
                && needed[index]
            {
                plan.nodes[term.index()].extras.push(name.clone());
            }
            plan.nodes.push(NodePlan {
                needed: needed[index],
                of_loss: of_loss[index],
                tracked: trained[index] && carries(index),
                from_model,
                looked_first: false,
                share: shares[index],
                leaf,
                extras: Vec::new(),
            });
        }
        plan.first_pass = plan.first_pass_of(program);
        let looked_first = match plan.first_pass {
            FirstPass::Model => needed,
            _ => Self::computed_for(program, &plan.known_first(), |_| false),
        };
        for (of, looked_first) in plan.nodes.iter_mut().zip(looked_first) {
            of.looked_first = looked_first;
            if let Some(Leaf::Field(field)) = of.leaf {
                plan.fields[field].needed |= of.needed;
                plan.fields[field].looked_first |= looked_first;
            }
        }
        plan
    }

    /// The plan of the row statistics alone, and of `more` behind them.
    pub(crate) fn of_rows(&self, more: &[RowStatistic]) -> Self {
        let rows = self.rows.iter().chain(more).copied().collect();
        Self { nodes: Vec::new(), fields: Vec::new(), rows, ..self.clone() }
    }

    /// For each node, whether `of` holds.
    pub fn mask(&self, of: impl Fn(&NodePlan) -> bool) -> Vec<bool> {
        self.nodes.iter().map(of).collect()
    }

    /// Whether a scalar of the whole step is the sum of its values on the parts or ranks. With [`FirstPass::Model`] each
    /// of them has the whole value.
    pub(crate) fn adds_up(&self, id: NodeId) -> bool {
        self.first_pass != FirstPass::Model && self.nodes[id.index()].share == Share::Partial
    }

    /// The whole-step values that are computed before the first share.
    pub(crate) fn known_first(&self) -> Vec<usize> {
        self.spanning(|of| self.first_pass == FirstPass::Fields && !of.from_model)
    }

    /// The whole-step values that are computed at the end, for metrics and signals. None with [`FirstPass::Model`], where
    /// all are known first.
    pub(crate) fn known_last(&self) -> Vec<usize> {
        self.spanning(|of| match self.first_pass {
            FirstPass::Counts => true,
            FirstPass::Fields => of.from_model,
            FirstPass::Model => false,
        })
    }

    fn spanning(&self, chosen: impl Fn(&NodePlan) -> bool) -> Vec<usize> {
        let spans = |of: &NodePlan| of.needed && of.share == Share::Whole && chosen(of);
        (0..self.nodes.len()).filter(|index| spans(&self.nodes[*index])).collect()
    }

    /// For each node, whether computing `nodes` needs it, given the values of `known` nodes.
    pub(crate) fn computed_for(
        program: &Program,
        nodes: &[usize],
        known: impl Fn(usize) -> bool,
    ) -> Vec<bool> {
        let roots = nodes.iter().map(|index| NodeId(*index as u32));
        reachable_past(program, roots, known)
    }

    fn first_pass_of(&self, program: &Program) -> FirstPass {
        if self.nodes[program.loss.index()].share != Share::Partial {
            return FirstPass::Model;
        }
        let spanning = self.nodes.iter().filter(|of| of.of_loss && of.share == Share::Whole);
        spanning
            .map(|of| if of.from_model { FirstPass::Model } else { FirstPass::Fields })
            .max()
            .unwrap_or(FirstPass::Counts)
    }
}

/// Whether the program declares the temperature of each row as a `seq`.
fn divisor_of_sequences(program: &Program) -> bool {
    let field = program.temperature_of.field();
    let declared =
        program.inputs.iter().find(|input| field.is_some_and(|field| field.as_str() == input.name));
    declared.is_some_and(|input| matches!(input.ty, InputType::Value(ty) if ty.shape == Shape::Seq))
}

fn count_without_lets(program: &Program) -> usize {
    program.roots().count() - program.lets.len()
}

/// For each node, whether a root depends on it.
fn reachable(program: &Program, roots: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
    reachable_past(program, roots, |_| false)
}

/// The same, without following the operands of `known` nodes.
fn reachable_past(
    program: &Program,
    roots: impl IntoIterator<Item = NodeId>,
    known: impl Fn(usize) -> bool,
) -> Vec<bool> {
    let mut reached = vec![false; program.nodes.len()];
    for root in roots {
        reached[root.index()] = true;
    }
    for index in (0..program.nodes.len()).rev() {
        if reached[index] && !known(index) {
            for id in program.nodes[index].op.operands() {
                reached[id.index()] = true;
            }
        }
    }
    reached
}
