//! What running a program takes: which values carry gradient, which row statistics are asked for in the one
//! request, and what a micro-batch has to know of the rest of its step.

use crate::fields;
use crate::plugin::Reach;
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::rows::RowStatistic;
use crate::types::Shape;

/// The schedule of one program.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By node: whether the loss, a metric or a signal needs it.
    pub needed: Vec<bool>,
    of_loss: Vec<bool>,
    /// By node: whether it is computed under autograd, because the loss's gradient flows through it.
    pub tracked: Vec<bool>,
    /// By node: whether its value on a part of a step cannot be had from that part alone.
    pub whole_step: Vec<bool>,
    /// By node: whether it is a scalar whose values on the parts of a step add up to the whole step's.
    pub(crate) adds_up: Vec<bool>,
    /// By node: whether it depends on the logits, the log-probabilities or the critic's values.
    pub from_model: Vec<bool>,
    /// The row statistics besides `log_prob`.
    pub rows: Vec<RowStatistic>,
    /// How `log_prob` is derived where the batch does not bring it, if it is needed.
    pub log_prob: Option<RowStatistic>,
    /// What has to be seen of all parts of a step before the first of them can give its gradient.
    pub first_pass: FirstPass,
}

/// What a first pass over the parts of a step has to read. A step in one part needs no first pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirstPass {
    /// The masks, for the denominators.
    Counts,
    /// The batch fields too: something spans the batch that does not depend on the model.
    Fields,
    /// The model's output too: the loss is no sum over the parts, or something that spans the batch depends
    /// on the model.
    Model,
}

/// How a value on a part of a step relates to the whole step's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Known before the batch is.
    Fixed,
    /// One value per token or sequence of the part.
    Local,
    /// A scalar; the parts' add up to the whole's.
    Partial,
    /// Known only from the whole step.
    Whole,
}

impl Plan {
    /// Plans a program. `lets` says whether named values are wanted too.
    pub fn new(program: &Program, lets: bool) -> Self {
        let count = program.nodes.len();
        let needed = reachable(
            program,
            program.roots().take(if lets { usize::MAX } else { count_without_lets(program) }),
        );
        let of_loss = reachable(program, [program.loss]);
        let mut plan = Self {
            tracked: (0..count).map(|index| of_loss[index] && program.nodes[index].gradient).collect(),
            needed,
            of_loss,
            whole_step: vec![false; count],
            adds_up: vec![false; count],
            from_model: vec![false; count],
            rows: Vec::new(),
            log_prob: None,
            first_pass: FirstPass::Counts,
        };
        let mut shares = Vec::with_capacity(count);
        for (index, node) in program.nodes.iter().enumerate() {
            plan.from_model[index] = match &node.op {
                Op::LogProb(_) | Op::Row(_) => true,
                Op::Field(name) => fields::find(name).is_some_and(|field| field.gradient),
                op => op.operands().iter().any(|id| plan.from_model[id.index()]),
            };
            let share = share(program, &shares, index);
            plan.whole_step[index] = share == Share::Whole;
            plan.adds_up[index] = share == Share::Partial;
            shares.push(share);
            if !plan.needed[index] {
                continue;
            }
            match &node.op {
                Op::Row(row) => plan.rows.push(*row),
                Op::LogProb(row) => plan.log_prob = Some(*row),
                _ => {}
            }
        }
        plan.first_pass = plan.first_pass_of(program, &shares);
        plan
    }

    /// By node: whether the loss needs it.
    pub fn loss_nodes(&self) -> &[bool] {
        &self.of_loss
    }

    /// By node: what is computed on the whole step before any part gives its share.
    pub(crate) fn first_look(&self, program: &Program) -> Vec<bool> {
        match self.first_pass {
            FirstPass::Model => self.needed.clone(),
            _ => Self::computed_for(program, &self.known_first(), |_| false),
        }
    }

    /// The values of the whole step that are computed before any part gives its share.
    pub(crate) fn known_first(&self) -> Vec<usize> {
        self.spanning(|index| self.first_pass == FirstPass::Fields && !self.from_model[index])
    }

    /// The values of the whole step that metrics and signals need besides. With [`FirstPass::Model`] everything
    /// is known first.
    pub(crate) fn known_last(&self) -> Vec<usize> {
        self.spanning(|index| match self.first_pass {
            FirstPass::Counts => true,
            FirstPass::Fields => self.from_model[index],
            FirstPass::Model => false,
        })
    }

    fn spanning(&self, chosen: impl Fn(usize) -> bool) -> Vec<usize> {
        let spans = |index: &usize| self.needed[*index] && self.whole_step[*index] && chosen(*index);
        (0..self.needed.len()).filter(spans).collect()
    }

    /// By node: whether it has to be computed for some values, when those of `known` nodes are at hand.
    pub(crate) fn computed_for(
        program: &Program,
        nodes: &[usize],
        known: impl Fn(usize) -> bool,
    ) -> Vec<bool> {
        let roots = nodes.iter().map(|index| NodeId(*index as u32));
        reachable_past(program, roots, known)
    }

    fn first_pass_of(&self, program: &Program, shares: &[Share]) -> FirstPass {
        if shares[program.loss.index()] != Share::Partial {
            return FirstPass::Model;
        }
        let of_loss = &self.of_loss;
        let spanning = (0..of_loss.len()).filter(|&index| of_loss[index] && self.whole_step[index]);
        spanning
            .map(|index| if self.from_model[index] { FirstPass::Model } else { FirstPass::Fields })
            .max()
            .unwrap_or(FirstPass::Counts)
    }
}

fn count_without_lets(program: &Program) -> usize {
    program.roots().count() - program.lets.len()
}

/// By node: whether any of the roots is computed from it.
fn reachable(program: &Program, roots: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
    reachable_past(program, roots, |_| false)
}

/// The same, without looking behind some nodes.
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

fn share(program: &Program, shares: &[Share], index: usize) -> Share {
    let node = &program.nodes[index];
    let of = |id: &NodeId| shares[id.index()];
    let spans = match &node.op {
        Op::Quantile(..) | Op::TopFraction(..) => true,
        Op::Term { object, .. } => program.terms[*object].signature.reach == Reach::Batch,
        // An extra comes into being with its term.
        Op::Extra { term, .. } => shares[term.index()] == Share::Whole,
        Op::Reduce { object, .. } => {
            let signature = &program.reductions[*object].signature;
            signature.reach == Reach::Batch && !(signature.additive && signature.to.shape == Shape::Scalar)
        }
        _ => false,
    };
    if spans {
        return Share::Whole;
    }
    let operands = node.op.operands();
    let partial = operands.iter().any(|id| of(id) == Share::Partial);
    match &node.op {
        Op::Constant(_) | Op::Boolean(_) | Op::Controller(_) => Share::Fixed,
        Op::Field(_) | Op::LogProb(_) | Op::Row(_) if node.ty.shape == Shape::Scalar => Share::Fixed,
        Op::Field(_) | Op::LogProb(_) | Op::Row(_) => Share::Local,
        // A value of the whole step is at hand when its part is computed, so what uses it is local again.
        Op::Reduce { object, .. } if !partial => {
            let signature = &program.reductions[*object].signature;
            if signature.reach == Reach::Batch { Share::Partial } else { Share::Local }
        }
        Op::Unary(UnaryFn::Neg | UnaryFn::Detach, x) if partial => of(x),
        Op::Binary(BinaryFn::Add | BinaryFn::Sub, a, b)
            if of(a) == Share::Partial && of(b) == Share::Partial =>
        {
            Share::Partial
        }
        Op::Binary(BinaryFn::Mul, a, b) if partial && known_in_advance(program, shares, *a, *b) => {
            Share::Partial
        }
        Op::Binary(BinaryFn::Div, a, b) if of(a) == Share::Partial && known(program, shares, *b) => {
            Share::Partial
        }
        _ if partial => Share::Whole,
        // A scalar that is computed from values of the whole step is one itself.
        _ if node.ty.shape == Shape::Scalar => {
            if operands.iter().any(|id| of(id) == Share::Whole) {
                Share::Whole
            } else {
                Share::Fixed
            }
        }
        _ => Share::Local,
    }
}

/// Whether a scalar factor is the same in every part.
fn known(program: &Program, shares: &[Share], id: NodeId) -> bool {
    let node = program.node(id);
    node.ty.shape == Shape::Scalar
        && !node.gradient
        && matches!(shares[id.index()], Share::Fixed | Share::Whole)
}

fn known_in_advance(program: &Program, shares: &[Share], a: NodeId, b: NodeId) -> bool {
    let partial = |id: NodeId| shares[id.index()] == Share::Partial;
    partial(a) && known(program, shares, b) || partial(b) && known(program, shares, a)
}
