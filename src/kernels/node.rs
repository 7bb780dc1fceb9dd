//! Sums of rows as one node of torch's autograd graph, which keeps nothing of their size but the logits: they are
//! read where they lie, or made and forgotten a few rows at a time.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::algebra::Columns;
use super::autograd::{self, Backward};
use super::engine::{self, Chunk, Engine, Found};
use super::gradients::Gradients;
use super::plan::Plan;
use super::rows::{Rows, positions};
use super::source::{Source, check_usable, refuse};
use super::torch_state::has_tangent;
use super::{KernelError, KernelOptions, kind_name};
use crate::rows::RowStatistic;

/// Each statistic of the request, at its place in `[B, T]`.
pub(super) fn row_statistics(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    let plan = Plan::new(request, rows.vocabulary);
    if rows.policy.tensors().into_iter().any(has_tangent) {
        let found = "one with a tangent, which only the reference kernels carry on";
        return refuse("logits", "a tensor outside of forward-mode differentiation", found);
    }
    let inputs = Inputs {
        policy: rows.policy,
        reference: rows.reference,
        actions: rows.actions.shallow_clone(),
        mask: rows.mask.shallow_clone(),
        time: rows.shape[1],
        kind: rows.logits,
    };
    let reading = Reading::of(rows, options);
    let found = {
        let _untracked = tch::no_grad_guard();
        inputs.read(&plan, reading)?
    };
    let columns = Columns::of(&attached(&inputs, found, &plan, reading, options)?)?;
    let kind = rows.kind();
    let picked = match reading {
        Reading::InPlace => None,
        Reading::Picked { .. } => Some(positions(&rows.mask)?),
    };
    let place = |value: &Tensor| match &picked {
        None => {
            let zero = Tensor::f_zeros([0i64; 0], (kind, value.device()))?;
            Ok(value.f_where_self(&rows.mask, &zero)?.f_view(rows.shape)?)
        }
        Some(positions) => rows.placed(value, positions),
    };
    (0..request.len()).map(|index| place(&columns.statistic(&plan, index)?.f_to_kind(kind)?)).collect()
}

/// How an engine gets at rows.
#[derive(Clone, Copy)]
enum Reading {
    /// All at once, where they lie; the engine passes over those that do not count.
    InPlace,
    /// Those that count, at most so many at a time.
    Picked { at_once: i64 },
}

/// What rows are read from.
struct Inputs<'a> {
    policy: Source<'a>,
    reference: Option<Source<'a>>,
    /// `[B·T]`.
    actions: Tensor,
    /// `[B·T]`.
    mask: Tensor,
    /// T.
    time: i64,
    /// Of the logits, as they are or are made.
    kind: Kind,
}

/// Some of the rows that count.
struct Part {
    /// Which of them.
    range: Range<i64>,
    /// Where in batch and time they are.
    at: [Tensor; 2],
    chunk: Chunk,
    /// What the policy's logits were made of, `[k, D]`, where they were made.
    hidden: Option<Tensor>,
}

impl Reading {
    fn of(rows: &Rows<'_>, options: &KernelOptions) -> Self {
        let sources = || [Some(rows.policy), rows.reference].into_iter().flatten();
        if engine::of(rows.policy.device()).reads_in_place() && sources().all(|source| lies_in_rows(&source))
        {
            return Self::InPlace;
        }
        let row = rows.vocabulary as usize * rows.logits.elt_size_in_bytes() * sources().count();
        Self::Picked { at_once: (options.chunk_bytes / row).max(1) as i64 }
    }
}

impl Inputs<'_> {
    fn engine(&self) -> &'static dyn Engine {
        engine::of(self.policy.device())
    }

    fn read(&self, plan: &Plan, reading: Reading) -> Result<Found, KernelError> {
        match reading {
            Reading::InPlace => self.engine().read(plan, &self.whole()?),
            Reading::Picked { at_once } => {
                let options = (Kind::Double, self.policy.device());
                let (mut sums, mut facts) = (
                    vec![Tensor::f_zeros([0, plan.sums() as i64], options)?],
                    vec![Tensor::f_zeros([0, plan.facts() as i64], options)?],
                );
                self.each_part(at_once, |part, _| {
                    let found = self.engine().read(plan, &part.chunk)?;
                    sums.push(found.sums);
                    facts.push(found.facts);
                    Ok(())
                })?;
                Ok(Found { sums: Tensor::f_cat(&sums, 0)?, facts: Tensor::f_cat(&facts, 0)? })
            }
        }
    }

    /// All rows where they lie. What a hook on saved tensors gave back may lie otherwise, and is copied.
    fn whole(&self) -> Result<Chunk, KernelError> {
        let in_place = |source: &Source<'_>| -> Result<Tensor, KernelError> {
            match source {
                Source::Logits(logits) if lies_in_rows(source) => Ok(logits.f_resolve_neg()?),
                Source::Logits(logits) => Ok(logits.f_resolve_neg()?.f_contiguous()?),
                Source::Hidden(_) => unreachable!("only logits lie anywhere"),
            }
        };
        Ok(Chunk {
            logits: in_place(&self.policy)?,
            reference: self.reference.as_ref().map(in_place).transpose()?,
            actions: self.actions.shallow_clone(),
            mask: self.mask.shallow_clone(),
        })
    }

    /// Makes the rows that count, some at a time.
    fn each_part(
        &self,
        at_once: i64,
        mut work: impl FnMut(Part, &Source<'_>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let positions = positions(&self.mask)?;
        let count = positions.size()[0];
        let policy = self.policy.in_kind(self.kind)?;
        let reference = self.reference.map(|reference| reference.in_kind(self.kind)).transpose()?;
        let (policy, reference) = (Source::again(&policy), reference.as_deref().map(Source::again));
        let mut start = 0;
        while start < count {
            let range = start..count.min(start + at_once);
            start = range.end;
            let positions = positions.f_narrow(0, range.start, range.end - range.start)?;
            let at = self.places(&positions)?;
            let (logits, hidden) = policy.pick(&at, self.kind)?;
            let reference = reference.map(|reference| reference.pick(&at, self.kind)).transpose()?;
            let chunk = Chunk {
                logits,
                reference: reference.map(|(logits, _)| logits),
                actions: self.actions.f_index_select(0, &positions)?,
                mask: positions.f_ones_like()?.f_to_kind(Kind::Bool)?,
            };
            work(Part { range, at, chunk, hidden }, &policy)?;
        }
        Ok(())
    }

    /// Where in batch and time rows are.
    fn places(&self, positions: &Tensor) -> Result<[Tensor; 2], KernelError> {
        // A batch without columns has no rows to place.
        let time = self.time.max(1);
        Ok([positions.f_floor_divide_scalar(time)?, positions.f_remainder(time)?])
    }
}

/// The same numbers as a result of the policy's tensors, where those want a gradient.
fn attached(
    inputs: &Inputs<'_>,
    found: Found,
    plan: &Plan,
    reading: Reading,
    options: &KernelOptions,
) -> Result<Found, KernelError> {
    let policy = inputs.policy.tensors();
    if !policy.iter().any(|tensor| tensor.requires_grad()) {
        return Ok(found);
    }
    let mut saved = vec![&found.facts, &inputs.actions, &inputs.mask];
    saved.extend(inputs.reference.iter().flat_map(Source::tensors));
    let node = Node {
        plan: plan.clone(),
        reading,
        time: inputs.time,
        kind: inputs.kind,
        overwrites: options.overwrite_logits,
        saved: policy.iter().chain(&saved).chain([&&found.sums]).map(|tensor| Look::of(tensor)).collect(),
    };
    Ok(Found { sums: autograd::attach(&policy, &saved, &found.sums, node)?, facts: found.facts })
}

/// What the forward pass leaves for the backward pass besides tensors.
struct Node {
    plan: Plan,
    reading: Reading,
    time: i64,
    kind: Kind,
    overwrites: bool,
    /// The inputs, what else was saved, and the sums.
    saved: Vec<Look>,
}

/// What a tensor looks like, which a hook on saved tensors must not change.
#[derive(PartialEq)]
struct Look {
    size: Vec<i64>,
    kind: Kind,
    device: Device,
}

impl Look {
    fn of(tensor: &Tensor) -> Self {
        Self { size: tensor.size(), kind: tensor.kind(), device: tensor.device() }
    }

    /// Refuses a tensor that came back otherwise than it was saved.
    fn check(&self, tensor: &Tensor) -> Result<(), KernelError> {
        let name = "a saved tensor";
        check_usable(name, tensor)?;
        let found = Self::of(tensor);
        if found == *self {
            return Ok(());
        }
        let words = |look: &Self| format!("{:?} of {} on {:?}", look.size, kind_name(look.kind), look.device);
        refuse(name, &format!("{}, as it was saved", words(self)), &format!("{}, from a hook", words(&found)))
    }
}

impl Backward for Node {
    fn backward(
        &self,
        tensors: &[Tensor],
        saved: &[Tensor],
        sums: &Tensor,
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, KernelError> {
        for (tensor, before) in tensors.iter().chain(saved).chain([sums]).zip(&self.saved) {
            before.check(tensor)?;
        }
        let [facts, actions, mask, reference @ ..] = saved else { unreachable!("`attached` saved them") };
        let inputs = Inputs {
            policy: Source::again(tensors),
            reference: (!reference.is_empty()).then(|| Source::again(reference)),
            actions: actions.shallow_clone(),
            mask: mask.shallow_clone(),
            time: self.time,
            kind: self.kind,
        };
        let found = Found { sums: sums.shallow_clone(), facts: facts.shallow_clone() };
        let cotangents = cotangents.f_contiguous()?;
        let gradients = |skipped| Gradients::of(&inputs.policy, self.overwrites, wanted, skipped);
        let gradients = match self.reading {
            Reading::InPlace => {
                let mut gradients = gradients(None)?;
                let chunk = inputs.whole()?;
                inputs.engine().write_gradient(
                    &self.plan,
                    &chunk,
                    &found,
                    &cotangents,
                    gradients.in_place(),
                )?;
                gradients
            }
            Reading::Picked { at_once } => {
                let skipped = inputs.places(&positions(&mask.f_logical_not()?)?)?;
                let mut gradients = gradients(Some(&skipped))?;
                inputs.each_part(at_once, |part, made| {
                    let lines =
                        |all: &Tensor| all.f_narrow(0, part.range.start, part.range.end - part.range.start);
                    let found = Found { sums: lines(&found.sums)?, facts: lines(&found.facts)? };
                    let cotangents = lines(&cotangents)?;
                    // The logits were made for this, and nobody reads them again.
                    let mut gradient = part.chunk.logits.shallow_clone();
                    inputs.engine().write_gradient(
                        &self.plan,
                        &part.chunk,
                        &found,
                        &cotangents,
                        &mut gradient,
                    )?;
                    gradients.add(made, &part.at, &gradient.f_squeeze_dim(0)?, part.hidden.as_ref())
                })?;
                gradients
            }
        };
        gradients.finish(&inputs.policy)
    }
}

/// Whether every row is in one piece.
fn lies_in_rows(source: &Source<'_>) -> bool {
    match source {
        Source::Logits(logits) => logits.size()[2] == 1 || logits.stride()[2] == 1,
        Source::Hidden(_) => false,
    }
}
