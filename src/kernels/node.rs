//! Sums of rows as one node of torch's autograd graph, which keeps nothing of their size but the logits: they are
//! read where they lie, or made and forgotten a few rows at a time.

use std::ops::Range;

use crate::tensor::{Backward, DType, Device, Differentiated, Tensor};

use super::algebra::Columns;
use super::engine::{self, Chunk, Engine, Found};
use super::gradients::Gradients;
use super::plan::Plan;
use super::rows::{Rows, positions};
use super::source::{Source, check_usable, refuse};
use super::{KernelError, KernelOptions};
use crate::rows::RowStatistic;

/// Each statistic of the request, at its place in `[B, T]`.
pub(super) fn row_statistics(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    let plan = Plan::new(request, rows.vocabulary);
    if rows.policy.tensors().into_iter().any(Tensor::has_tangent) {
        let found = "one with a tangent, which only the reference kernels carry on";
        return refuse("logits", "a tensor outside of forward-mode differentiation", found);
    }
    let inputs = Inputs {
        policy: rows.policy,
        reference: rows.reference,
        actions: rows.actions.clone(),
        mask: rows.mask.clone(),
        time: rows.shape[1],
        kind: rows.logits,
    };
    let reading = Reading::of(rows, options)?;
    let found = {
        let _untracked = rows.mask.no_grad();
        inputs.read(&plan, reading)?
    };
    let columns = Columns::of(&attached(&inputs, found, &plan, reading, options)?);
    let kind = rows.dtype();
    let picked = match reading {
        Reading::InPlace => None,
        Reading::Picked { .. } => Some(positions(&rows.mask)?),
    };
    let place = |value: &Tensor| match &picked {
        None => Ok(rows.mask.where_cond(value, &value.zeros(&[], kind)).reshape(&rows.shape)),
        Some(positions) => rows.placed(value, positions),
    };
    (0..request.len()).map(|index| place(&columns.statistic(&plan, index).to_dtype(kind))).collect()
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
    kind: DType,
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
    fn of(rows: &Rows<'_>, options: &KernelOptions) -> Result<Self, KernelError> {
        let sources = || [Some(rows.policy), rows.reference].into_iter().flatten();
        if engine::of(rows.policy.host()?, rows.policy.device()).reads_in_place()
            && sources().all(|source| lies_in_rows(&source))
        {
            return Ok(Self::InPlace);
        }
        let row = rows.vocabulary as usize * rows.logits.bytes() * sources().count();
        Ok(Self::Picked { at_once: (options.chunk_bytes / row).max(1) as i64 })
    }
}

impl Inputs<'_> {
    fn engine(&self) -> Result<&'static dyn Engine, KernelError> {
        Ok(engine::of(self.policy.host()?, self.policy.device()))
    }

    fn read(&self, plan: &Plan, reading: Reading) -> Result<Found, KernelError> {
        match reading {
            Reading::InPlace => self.engine()?.read(plan, &self.whole()?),
            Reading::Picked { at_once } => {
                let none = |columns: usize| self.mask.zeros(&[0, columns as i64], DType::F64);
                let (mut sums, mut facts) = (vec![none(plan.sums())], vec![none(plan.facts())]);
                self.each_part(at_once, |part, _| {
                    let found = self.engine()?.read(plan, &part.chunk)?;
                    sums.push(found.sums);
                    facts.push(found.facts);
                    Ok(())
                })?;
                Ok(Found { sums: Tensor::cat(&sums, 0).ok()?, facts: Tensor::cat(&facts, 0).ok()? })
            }
        }
    }

    /// All rows where they lie. What a hook on saved tensors gave back may lie otherwise, and is copied.
    fn whole(&self) -> Result<Chunk, KernelError> {
        let in_place = |source: &Source<'_>| -> Result<Tensor, KernelError> {
            match source {
                Source::Logits(logits) if lies_in_rows(source) => Ok(logits.resolve_neg()),
                Source::Logits(logits) => Ok(logits.resolve_neg().contiguous()),
                Source::Hidden(_) => unreachable!("only logits lie anywhere"),
            }
        };
        Ok(Chunk {
            logits: in_place(&self.policy)?,
            reference: self.reference.as_ref().map(in_place).transpose()?,
            actions: self.actions.clone(),
            mask: self.mask.clone(),
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
            let positions = positions.narrow(0, range.start, range.end - range.start);
            let at = self.places(&positions)?;
            let (logits, hidden) = policy.pick(&at, self.kind)?;
            let reference = reference.map(|reference| reference.pick(&at, self.kind)).transpose()?;
            let chunk = Chunk {
                logits,
                reference: reference.map(|(logits, _)| logits),
                actions: self.actions.index_select(0, &positions),
                mask: positions.ones_like().to_dtype(DType::Bool),
            };
            work(Part { range, at, chunk, hidden }, &policy)?;
        }
        Ok(())
    }

    /// Where in batch and time rows are.
    fn places(&self, positions: &Tensor) -> Result<[Tensor; 2], KernelError> {
        // A batch without columns has no rows to place.
        let time = self.time.max(1);
        Ok([positions.floor_divide(time), positions.remainder(time)])
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
    let tensors = Differentiated { inputs: &policy, saved: &saved };
    Ok(Found { sums: found.sums.attach(tensors, Box::new(node)).ok()?, facts: found.facts })
}

/// What the forward pass leaves for the backward pass besides tensors.
struct Node {
    plan: Plan,
    reading: Reading,
    time: i64,
    kind: DType,
    overwrites: bool,
    /// The inputs, what else was saved, and the sums.
    saved: Vec<Look>,
}

/// What a tensor looks like, which a hook on saved tensors must not change.
#[derive(PartialEq)]
struct Look {
    size: Vec<i64>,
    kind: DType,
    device: Device,
}

impl Look {
    fn of(tensor: &Tensor) -> Self {
        Self { size: tensor.size(), kind: tensor.dtype(), device: tensor.device() }
    }

    /// Refuses a tensor that came back otherwise than it was saved.
    fn check(&self, tensor: &Tensor) -> Result<(), KernelError> {
        let name = "a saved tensor";
        check_usable(name, tensor)?;
        let found = Self::of(tensor);
        if found == *self {
            return Ok(());
        }
        let words = |look: &Self| format!("{:?} of {} on {}", look.size, look.kind, look.device);
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
    ) -> Result<Vec<Option<Tensor>>, Box<dyn std::error::Error + Send + Sync>> {
        // In the types of the forward pass, whatever autocast says by now.
        let _chosen = cotangents.no_autocast();
        let _untracked = cotangents.no_grad();
        for (tensor, before) in tensors.iter().chain(saved).chain([sums]).zip(&self.saved) {
            before.check(tensor)?;
        }
        let [facts, actions, mask, reference @ ..] = saved else { unreachable!("`attached` saved them") };
        let inputs = Inputs {
            policy: Source::again(tensors),
            reference: (!reference.is_empty()).then(|| Source::again(reference)),
            actions: actions.clone(),
            mask: mask.clone(),
            time: self.time,
            kind: self.kind,
        };
        let found = Found { sums: sums.clone(), facts: facts.clone() };
        let cotangents = cotangents.contiguous();
        let gradients = |skipped| Gradients::of(&inputs.policy, self.overwrites, wanted, skipped);
        let gradients = match self.reading {
            Reading::InPlace => {
                let gradients = gradients(None)?;
                let chunk = inputs.whole()?;
                inputs.engine()?.write_gradient(
                    &self.plan,
                    &chunk,
                    &found,
                    &cotangents,
                    gradients.in_place(),
                )?;
                gradients
            }
            Reading::Picked { at_once } => {
                let skipped = inputs.places(&positions(&mask.logical_not())?)?;
                let mut gradients = gradients(Some(&skipped))?;
                inputs.each_part(at_once, |part, made| {
                    let lines =
                        |all: &Tensor| all.narrow(0, part.range.start, part.range.end - part.range.start);
                    let found = Found { sums: lines(&found.sums), facts: lines(&found.facts) };
                    let cotangents = lines(&cotangents);
                    // The logits were made for this, and nobody reads them again.
                    let gradient = part.chunk.logits.clone();
                    inputs.engine()?.write_gradient(
                        &self.plan,
                        &part.chunk,
                        &found,
                        &cotangents,
                        &gradient,
                    )?;
                    gradients.add(made, &part.at, &gradient.squeeze(0), part.hidden.as_ref())
                })?;
                gradients
            }
        };
        Ok(gradients.finish(&inputs.policy)?)
    }
}

/// Whether every row is in one piece.
fn lies_in_rows(source: &Source<'_>) -> bool {
    match source {
        Source::Logits(logits) => logits.size()[2] == 1 || logits.stride()[2] == 1,
        Source::Hidden(_) => false,
    }
}
