//! Row statistics as one node of the host's autograd graph.
//! It keeps nothing of vocabulary size except given logits, which are read in place; others are computed and freed a few
//! rows at a time.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use super::engine::{self, Chunk, Engine, Found, Numbers, WrongId};
use super::gradients::Gradients;
use super::ids::{HostIds, Ids, Lists};
use super::look::Look;
use super::plan::{Listed, Plan, Planned};
use super::rows::{Rows, positions, summed_in};
use super::source::{Source, refuse};
use super::{KernelError, KernelOptions, algebra};
use crate::rows::{RowStatistic, Statistic};
use crate::tensor::{Backward, DType, Device, Differentiated, Guard, Tensor};

/// Every statistic of the request, in the shape `[B, T]`, and after them the log-probabilities of listed tokens, `[B, T, K]`.
/// With lists all of them are f64.
pub(super) fn row_statistics(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    listed: &[Listed],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    let plan = Plan::new(request, listed, &rows.ids.lengths(), rows.vocabulary);
    if rows.policy.tensors().into_iter().any(Tensor::has_tangent) {
        let found = "one with a tangent, which only the reference kernels carry on";
        return refuse("logits", "a tensor outside of forward-mode differentiation", found);
    }
    let inputs = Inputs {
        policy: rows.policy,
        references: rows.references.clone(),
        ids: rows.ids.clone(),
        divisors: rows.divisors.clone(),
        shape: rows.shape,
        dtype: rows.logits,
    };
    let reading = Reading::of(rows, options)?;
    let _chosen = reading.no_autocast(inputs.near());
    let (found, values) = {
        let _untracked = inputs.near().no_grad();
        let wrong_id = inputs.engine()?.wrong_id();
        if wrong_id == WrongId::Refused {
            inputs.ids.host(rows.vocabulary)?;
        } else if wrong_id == WrongId::Breaks || options.validate {
            rows.ids.check(rows.vocabulary)?;
        }
        let found = inputs.read(&plan, reading)?;
        let values = inputs.placed(&plan, &found, reading)?;
        (found, values)
    };
    let values = attached(&inputs, &found, values, &plan, reading, options)?;
    if values.dim() == 2 && plan.statistics[0].statistic != Statistic::Size {
        return Ok(vec![values]);
    }
    let ([batch, time], mut next) = (rows.shape, 0);
    let of = |planned: &Planned| {
        let index = next;
        next += planned.values() as i64;
        if let Some(tokens) = planned.tokens {
            let tokens = tokens as i64;
            let values = values.narrow(0, index, tokens).reshape(&[tokens, batch * time]);
            return Ok(values.transpose().reshape(&[batch, time, tokens]).ok()?);
        }
        let value = if values.dim() == 2 { values.clone() } else { values.select(0, index) };
        // The size of a set has no gradient.
        Ok(if planned.statistic == Statistic::Size { value.detach() } else { value }.ok()?)
    };
    plan.statistics.iter().map(of).collect()
}

/// How an engine reads rows.
#[derive(Clone, Copy)]
enum Reading {
    /// All at once, in place; the engine skips those that do not count.
    InPlace,
    /// Those that count, at most `at_once` at a time.
    Picked { at_once: i64 },
}

/// The tensors that rows are read from.
struct Inputs<'a> {
    policy: Source<'a>,
    references: Vec<Source<'a>>,
    ids: Ids,
    /// `[B·T]` f64: what the batch divides each row by, if it does. Only the forward pass needs it.
    divisors: Option<Tensor>,
    /// B and T.
    shape: [i64; 2],
    /// The kind of the logits, given or computed.
    dtype: DType,
}

/// Some of the counted rows.
struct Part {
    /// Their range among the counted rows.
    range: Range<i64>,
    /// Their indices in batch and time.
    at: [Tensor; 2],
    chunk: Chunk,
    /// The hidden states `[k, D]` that the policy's logits were computed from, if they were.
    hidden: Option<Tensor>,
}

impl Reading {
    fn of(rows: &Rows<'_>, options: &KernelOptions) -> Result<Self, KernelError> {
        let sources = || std::iter::once(rows.policy).chain(rows.references.iter().copied());
        let engine = engine::of(rows.policy.host()?, rows.policy.device());
        if engine.reads_in_place() && sources().all(|source| source.lies_in_rows()) {
            return Ok(Self::InPlace);
        }
        let row = rows.vocabulary as usize * rows.logits.bytes() * sources().count();
        Ok(Self::Picked { at_once: (options.chunk_bytes / row).max(1) as i64 })
    }

    /// Keeps automatic mixed precision out of the computation, whose kinds are those of the forward pass, until the guard
    /// is dropped. What is read in place on the CPU is computed without the host's operations.
    fn no_autocast(self, near: &Tensor) -> Option<Guard> {
        if matches!(self, Self::InPlace) && near.device() == Device::Cpu { None } else { near.no_autocast() }
    }
}

impl Inputs<'_> {
    fn engine(&self) -> Result<&'static dyn Engine, KernelError> {
        Ok(engine::of(self.policy.host()?, self.policy.device()))
    }

    /// A tensor on the device.
    fn near(&self) -> &Tensor {
        self.policy.tensors()[0]
    }

    fn read(&self, plan: &Plan, reading: Reading) -> Result<Found, KernelError> {
        match reading {
            Reading::InPlace => self.engine()?.read(plan, &self.whole()?),
            Reading::Picked { at_once } => {
                let (mut sums, mut facts) = (Vec::new(), Vec::new());
                self.each_part(at_once, |part, _| {
                    let found = self.engine()?.read(plan, &part.chunk)?;
                    sums.push(found.sums);
                    facts.push(found.facts);
                    Ok(())
                })?;
                let near = self.near();
                Ok(Found {
                    sums: Numbers::joined(sums, plan.sums(), near)?,
                    facts: Numbers::joined(facts, plan.facts(), near)?,
                })
            }
        }
    }

    /// All statistics, `[R, B, T]`, or `[B, T]` if there is one; zero where rows do not count.
    fn placed(&self, plan: &Plan, found: &Found, reading: Reading) -> Result<Tensor, KernelError> {
        let dtype = if plan.lists.is_empty() { summed_in(self.dtype) } else { DType::F64 };
        let (near, count, [batch, time]) = (self.near(), plan.values() as i64, self.shape);
        let all = [count, batch, time];
        let size = if count == 1 && plan.lists.is_empty() { &all[1..] } else { &all[..] };
        let of_rows = |values: Tensor| Ok(values.reshape(size).ok()?);
        match reading {
            Reading::InPlace => {
                if let Some(known) = self.ids.known() {
                    return algebra::statistics(plan, found, Some(&known.counted), dtype, near, size);
                }
                let values = algebra::statistics(plan, found, None, dtype, near, &[count, batch * time])?;
                of_rows(self.ids.flat()[1].where_cond(&values, &values.zeros(&[], dtype)))
            }
            Reading::Picked { .. } => {
                let places = positions(&self.ids.flat()[1]);
                let picked = [count, places.length(0)];
                let values = algebra::statistics(plan, found, None, dtype, near, &picked)?;
                of_rows(near.zeros(&[count, batch * time], dtype).index_copy(1, &places, &values))
            }
        }
    }

    /// All rows in place. A hook on saved tensors may return another layout, which is copied.
    fn whole(&self) -> Result<Chunk, KernelError> {
        let in_place = |source: &Source<'_>| match source {
            Source::Logits(logits) => {
                let logits = if logits.is_negated() { logits.resolve_neg() } else { (*logits).clone() };
                if source.lies_in_rows() { logits } else { logits.contiguous() }
            }
            Source::Hidden(_) => unreachable!("only logits lie anywhere"),
        };
        Ok(Chunk {
            logits: in_place(&self.policy).ok()?,
            references: self.references.iter().map(|of| in_place(of).ok()).collect::<Result<_, _>>()?,
            ids: self.ids.clone(),
            divisors: self.divisors.clone(),
        })
    }

    /// Computes the rows that count, some at a time.
    fn each_part(
        &self,
        at_once: i64,
        mut work: impl FnMut(Part, &Source<'_>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let [actions, mask] = self.ids.flat();
        let places = positions(mask).ok()?;
        let count = places.length(0);
        let policy = self.policy.in_dtype(self.dtype);
        let references: Vec<_> = self.references.iter().map(|of| of.in_dtype(self.dtype)).collect();
        let policy = Source::again(&policy);
        let mut start = 0;
        while start < count {
            let range = start..count.min(start + at_once);
            start = range.end;
            let places = places.narrow(0, range.start, range.end - range.start);
            let at = self.at(&places);
            let (logits, hidden) = policy.pick(&at, self.dtype)?;
            let compared = references.iter().map(|of| Ok(Source::again(of).pick(&at, self.dtype)?.0));
            let all = places.full(&places.size(), 1i64, DType::Bool);
            let chunk = Chunk {
                logits,
                references: compared.collect::<Result<_, KernelError>>()?,
                ids: Ids::new(actions.index_select(0, &places).ok()?, all.ok()?)
                    .with_lists(self.ids.lists().map(|lists| lists.pick(&places))),
                divisors: self.divisors.as_ref().map(|all| all.index_select(0, &places).ok()).transpose()?,
            };
            work(Part { range, at, chunk, hidden }, &policy)?;
        }
        Ok(())
    }

    /// The indices of rows in batch and time.
    fn at(&self, places: &Tensor) -> [Tensor; 2] {
        // A batch without columns has no rows.
        let time = self.shape[1].max(1);
        [places.floor_divide(time), places.remainder(time)]
    }
}

/// The same values as a result of the policy's tensors, if any of them requires a gradient.
fn attached(
    inputs: &Inputs<'_>,
    found: &Found,
    values: Tensor,
    plan: &Plan,
    reading: Reading,
    options: &KernelOptions,
) -> Result<Tensor, KernelError> {
    let policy = inputs.policy.tensors();
    if !policy.iter().any(|tensor| tensor.requires_grad()) {
        return Ok(values);
    }
    let ids = inputs.ids.known().filter(|_| matches!(reading, Reading::InPlace)).cloned();
    let references = inputs.references.iter().flat_map(Source::tensors);
    // Numbers on the host need not be saved as tensors: nothing can change them meanwhile.
    let mut saved: Vec<&Tensor> = references.collect();
    if ids.is_none() {
        saved.extend(inputs.ids.tensors());
        saved.extend(inputs.ids.lists().map(|lists| &lists.ids));
    }
    let found = match (&found.sums, &found.facts) {
        (Numbers::Host(sums), Numbers::Host(facts)) => Some([sums.clone(), facts.clone()]),
        (sums, facts) => {
            saved.extend([sums, facts].into_iter().filter_map(Numbers::on_device));
            None
        }
    };
    let node = Node {
        plan: plan.clone(),
        reading,
        shape: inputs.shape,
        dtype: inputs.dtype,
        overwrites: options.overwrite_logits,
        looks: policy.iter().chain(&saved).map(|tensor| Look::of(tensor)).collect(),
        compares: inputs.references.iter().map(|of| of.tensors().len()).collect(),
        lists: inputs.ids.lists().map(|lists| lists.fields.clone()),
        ids,
        found,
    };
    let tensors = Differentiated { inputs: &policy, saved: &saved };
    Ok(values.attach(tensors, Box::new(node)).ok()?)
}

/// What the forward pass keeps for the backward pass besides tensors.
struct Node {
    plan: Plan,
    reading: Reading,
    shape: [i64; 2],
    dtype: DType,
    overwrites: bool,
    /// Those of the inputs, then of the other saved tensors.
    looks: Vec<Look>,
    /// How many tensors each reference has.
    compares: Vec<usize>,
    /// The fields of the lists of ids.
    lists: Option<Arc<[(&'static str, usize)]>>,
    /// The ids, unless they are among the saved tensors.
    ids: Option<Arc<HostIds>>,
    /// The sums and facts, unless they are among the saved tensors.
    found: Option<[Arc<Vec<f64>>; 2]>,
}

impl Backward for Node {
    fn backward(
        &self,
        tensors: &[Tensor],
        saved: &[Tensor],
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, Box<dyn Error + Send + Sync>> {
        // Autocast may have changed since the forward pass.
        let _chosen = self.reading.no_autocast(cotangents);
        let _untracked = cotangents.no_grad();
        for (tensor, before) in tensors.iter().chain(saved).zip(&self.looks) {
            before.check(tensor)?;
        }
        let (mut compared, saved) = saved.split_at(self.compares.iter().sum());
        let references = self.compares.iter().map(|count| {
            let (of, rest) = compared.split_at(*count);
            compared = rest;
            Source::again(of)
        });
        let (ids, saved) = if let Some(known) = &self.ids {
            (Ids::of_host(known.clone()), saved)
        } else {
            let [actions, mask, rest @ ..] = saved else { unreachable!("`attached` saved them") };
            let ids = Ids::new(actions.clone(), mask.clone());
            let (listed, rest) = rest.split_at(usize::from(self.lists.is_some()));
            let made =
                |(fields, ids): (&Arc<[_]>, &Tensor)| Lists { fields: fields.clone(), ids: ids.clone() };
            (ids.with_lists(self.lists.as_ref().zip(listed.first()).map(made)), rest)
        };
        let found = match (&self.found, saved) {
            (Some([sums, facts]), _) => {
                Found { sums: Numbers::Host(sums.clone()), facts: Numbers::Host(facts.clone()) }
            }
            (None, [sums, facts]) => {
                Found { sums: Numbers::Device(sums.clone()), facts: Numbers::Device(facts.clone()) }
            }
            _ => unreachable!("`attached` saved them"),
        };
        let inputs = Inputs {
            policy: Source::again(tensors),
            references: references.collect(),
            ids,
            divisors: None,
            shape: self.shape,
            dtype: self.dtype,
        };
        Ok(self.gradients(&inputs, &found, cotangents, wanted)?.finish(&inputs.policy)?)
    }

    fn overwrites(&self) -> bool {
        self.overwrites
    }
}

impl Node {
    fn gradients(
        &self,
        inputs: &Inputs<'_>,
        found: &Found,
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Gradients, KernelError> {
        let (engine, near) = (inputs.engine()?, inputs.near());
        let gradients = |skipped| Gradients::of(&inputs.policy, self.overwrites, wanted, skipped);
        match self.reading {
            Reading::InPlace => {
                let cotangents = algebra::pull_back(&self.plan, found, cotangents, near)?;
                let (gradients, whole) = (gradients(None)?, inputs.whole()?);
                engine.write_gradient(&self.plan, &whole, found, &cotangents, gradients.in_place())?;
                Ok(gradients)
            }
            Reading::Picked { at_once } => {
                let mask = &inputs.ids.flat()[1];
                let of_rows = cotangents.reshape(&[self.plan.values() as i64, -1]);
                let picked = of_rows.index_select(1, &positions(mask));
                let cotangents = algebra::pull_back(&self.plan, found, &picked, near)?;
                let skipped = inputs.at(&positions(&mask.logical_not()));
                let mut gradients = gradients(Some(&skipped))?;
                inputs.each_part(at_once, |part, made| {
                    let (sums, facts) = (self.plan.sums(), self.plan.facts());
                    let found = Found {
                        sums: found.sums.lines(sums, &part.range),
                        facts: found.facts.lines(facts, &part.range),
                    };
                    let cotangents = cotangents.lines(sums, &part.range);
                    // The logits were computed for this part, and nothing reads them again.
                    let gradient = part.chunk.logits.clone();
                    engine.write_gradient(&self.plan, &part.chunk, &found, &cotangents, &gradient)?;
                    gradients.add(made, &part.at, &gradient.squeeze(0), part.hidden.as_ref())
                })?;
                Ok(gradients)
            }
        }
    }
}
