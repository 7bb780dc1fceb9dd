//! Sums of rows as one node of torch's autograd graph, which keeps nothing of their size but the logits: they are
//! read where they lie, or made and forgotten a few rows at a time.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::algebra::Columns;
use super::autograd::{self, Backward};
use super::engine::{self, Chunk, Engine, Found};
use super::gradients::Gradients;
use super::plan::Plan;
use super::rows::{Rows, positions};
use super::source::Source;
use super::{KernelError, KernelOptions, RowStatistic};

/// Each statistic of the request, at its place in `[B, T]`.
pub(super) fn row_statistics(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    let plan = Plan::new(request, rows.vocabulary);
    let inputs = Inputs {
        policy: rows.policy,
        reference: rows.reference,
        actions: rows.actions.shallow_clone(),
        mask: rows.mask.shallow_clone(),
        time: rows.shape[1],
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
        let row = rows.vocabulary as usize * rows.policy.kind().elt_size_in_bytes() * sources().count();
        Self::Picked { at_once: (options.chunk_bytes / row).max(1) as i64 }
    }
}

impl Inputs<'_> {
    fn engine(&self) -> &'static dyn Engine {
        engine::of(self.policy.device())
    }

    fn read(&self, plan: &Plan, reading: Reading) -> Result<Found, KernelError> {
        match reading {
            Reading::InPlace => self.engine().read(plan, &self.whole()),
            Reading::Picked { at_once } => {
                let options = (Kind::Double, self.policy.device());
                let (mut sums, mut facts) = (
                    vec![Tensor::f_zeros([0, plan.sums() as i64], options)?],
                    vec![Tensor::f_zeros([0, plan.facts() as i64], options)?],
                );
                self.each_part(at_once, |part| {
                    let found = self.engine().read(plan, &part.chunk)?;
                    sums.push(found.sums);
                    facts.push(found.facts);
                    Ok(())
                })?;
                Ok(Found { sums: Tensor::f_cat(&sums, 0)?, facts: Tensor::f_cat(&facts, 0)? })
            }
        }
    }

    /// All rows where they lie.
    fn whole(&self) -> Chunk {
        let in_place = |source: &Source<'_>| match source {
            Source::Logits(logits) => logits.shallow_clone(),
            Source::Hidden(_) => unreachable!("only logits lie anywhere"),
        };
        Chunk {
            logits: in_place(&self.policy),
            reference: self.reference.as_ref().map(in_place),
            actions: self.actions.shallow_clone(),
            mask: self.mask.shallow_clone(),
        }
    }

    /// Makes the rows that count, some at a time.
    fn each_part(
        &self,
        at_once: i64,
        mut work: impl FnMut(Part) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let positions = positions(&self.mask)?;
        let count = positions.size()[0];
        let mut start = 0;
        while start < count {
            let range = start..count.min(start + at_once);
            start = range.end;
            let positions = positions.f_narrow(0, range.start, range.end - range.start)?;
            let at = self.places(&positions)?;
            let (logits, hidden) = self.policy.pick(&at)?;
            let reference = self.reference.map(|reference| reference.pick(&at)).transpose()?;
            let chunk = Chunk {
                logits,
                reference: reference.map(|(logits, _)| logits),
                actions: self.actions.f_index_select(0, &positions)?,
                mask: positions.f_ones_like()?.f_to_kind(Kind::Bool)?,
            };
            work(Part { range, at, chunk, hidden })?;
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
    let node = Node { plan: plan.clone(), reading, time: inputs.time, overwrites: options.overwrite_logits };
    let mut saved = vec![&found.facts, &inputs.actions, &inputs.mask];
    saved.extend(inputs.reference.iter().flat_map(Source::tensors));
    Ok(Found { sums: autograd::attach(&policy, &saved, &found.sums, node)?, facts: found.facts })
}

/// What the forward pass leaves for the backward pass besides tensors.
struct Node {
    plan: Plan,
    reading: Reading,
    time: i64,
    overwrites: bool,
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
        let [facts, actions, mask, reference @ ..] = saved else { unreachable!("`attached` saved them") };
        let inputs = Inputs {
            policy: Source::again(tensors),
            reference: (!reference.is_empty()).then(|| Source::again(reference)),
            actions: actions.shallow_clone(),
            mask: mask.shallow_clone(),
            time: self.time,
        };
        let found = Found { sums: sums.shallow_clone(), facts: facts.shallow_clone() };
        let cotangents = cotangents.f_contiguous()?;
        let gradients = |skipped| Gradients::of(&inputs.policy, self.overwrites, wanted, skipped);
        let gradients = match self.reading {
            Reading::InPlace => {
                let mut gradients = gradients(None)?;
                let chunk = inputs.whole();
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
                inputs.each_part(at_once, |part| {
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
                    gradients.add(&inputs.policy, &part.at, &gradient.f_squeeze_dim(0)?, part.hidden.as_ref())
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
