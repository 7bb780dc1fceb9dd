//! What a program needs of a step before the first micro-batch can give its share, and where the file says so.

use super::Plan;
use super::share::{Grouped, Share, grouped, spans};
use crate::plugin::Count;
use crate::program::{Op, Program};
use crate::span::Span;

/// Something that a program needs of the whole step before a micro-batch can give its share of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Need {
    /// The number of valid tokens.
    Tokens,
    /// The number of sequences with a valid token.
    Sequences,
    /// The padded length.
    Width,
    /// Each group whole in one micro-batch, and the number of groups; or else what [`Need::Fields`] or, where samples are
    /// compared by what the model says of them, [`Need::WholeStep`] takes.
    Groups,
    /// Batch fields of all micro-batches. The model need not have run on them: `measure` takes batches without its output.
    Fields,
    /// What the model says of all micro-batches.
    WholeStep,
}

/// A formula of the loss that needs something of the whole step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What it needs.
    pub need: Need,
    /// Where it is written; in a file of the library, if that says so.
    pub span: Span,
    /// The field that tells groups apart, for [`Need::Groups`].
    pub field: Option<String>,
}

impl Need {
    /// Every need, from the least to the most.
    pub const ALL: [Need; 6] =
        [Need::Tokens, Need::Sequences, Need::Width, Need::Groups, Need::Fields, Need::WholeStep];

    /// Its name, as in `program.requires`.
    pub fn as_str(self) -> &'static str {
        match self {
            Need::Tokens => "tokens",
            Need::Sequences => "sequences",
            Need::Width => "width",
            Need::Groups => "groups",
            Need::Fields => "fields",
            Need::WholeStep => "whole_step",
        }
    }

    /// The need with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|need| need.as_str() == name)
    }

    /// What it is, in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Need::Tokens => "the number of valid tokens in the whole step",
            Need::Sequences => "the number of sequences in the whole step",
            Need::Width => "the padded length of the whole step",
            Need::Groups => "all samples of a group together",
            Need::Fields => "the batch fields of the whole step",
            Need::WholeStep => "what the model says of the whole step",
        }
    }
}

impl Program {
    /// What a program needs of the whole step before the first micro-batch can give its share, in the order of [`Need`] and
    /// then of the file. Metrics and signals need counts alone: the rest of them is computed when the step ends.
    ///
    /// ```
    /// use aent::plan::Need;
    ///
    /// let program = aent::compile("loss = -token_mean((rewards - group_mean(rewards)) * log_prob)")?;
    /// let needs: Vec<Need> = program.requires().iter().map(|found| found.need).collect();
    /// assert_eq!(needs, [Need::Tokens, Need::Groups]);
    /// # Ok::<(), aent::Failure>(())
    /// ```
    pub fn requires(&self) -> Vec<Requirement> {
        self.requirements(&Plan::new(self, false))
    }

    /// The same by a plan, whose steps may have whole groups in each part.
    pub(crate) fn requirements(&self, plan: &Plan) -> Vec<Requirement> {
        let shares = plan.nodes.iter().map(|of| of.share).collect::<Vec<Share>>();
        let mut found = Vec::new();
        for index in (0..self.nodes.len()).filter(|index| plan.nodes[*index].needed) {
            let node = &self.nodes[index];
            let mut add = |need, field: Option<&str>| {
                found.push(Requirement { need, span: node.span, field: field.map(str::to_owned) });
            };
            self.counts_read_by(index).into_iter().for_each(|need| add(need, None));
            let operands = node.op.operands();
            let of_sums = operands.iter().any(|id| shares[id.index()] == Share::Partial);
            // Metrics and signals wait for the end of the step, where all but the counts is at hand.
            if !plan.nodes[index].of_loss || matches!(node.op, Op::Extra { .. }) {
                continue;
            }
            if let Some(Grouped { field, .. }) = grouped(self, index) {
                add(Need::Groups, Some(field));
            } else if shares[index] == Share::Whole && (of_sums || spans(self, &shares, index)) {
                // A scalar that is made of such values alone says nothing new.
                add(if plan.nodes[index].from_model { Need::WholeStep } else { Need::Fields }, None);
            }
        }
        let spanning = |of: &Requirement| matches!(of.need, Need::Fields | Need::WholeStep);
        if shares[self.loss.index()] != Share::Partial && !found.iter().any(spanning) {
            found.push(Requirement { need: Need::WholeStep, span: self.node(self.loss).span, field: None });
        }
        found.sort_by_key(|of| (of.need, of.span));
        found.dedup();
        found
    }

    /// The counts of the step that a node reads.
    fn counts_read_by(&self, index: usize) -> Vec<Need> {
        let (counts, width): (&[Count], bool) = match &self.nodes[index].op {
            Op::Term { object, .. } => {
                let signature = &self.terms[*object].signature;
                (&signature.counts, signature.width)
            }
            Op::Reduce { object, .. } => {
                let signature = &self.reductions[*object].signature;
                (&signature.counts, signature.width)
            }
            Op::Pooled(_) => (&[Count::Tokens], false),
            _ => (&[], false),
        };
        let named = counts.iter().filter_map(|count| match count {
            Count::Tokens => Some(Need::Tokens),
            Count::Sequences => Some(Need::Sequences),
            Count::Groups => None,
        });
        named.chain(width.then_some(Need::Width)).collect()
    }
}
