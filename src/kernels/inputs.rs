//! The tensors that rows are read from, and how an engine gets to read them: in place, or a few at a time.

use std::ops::Range;

use super::engine::{self, Chunk, Engine, Found, Numbers};
use super::ids::Ids;
use super::plan::Plan;
use super::rows::{Rows, positions, summed_in};
use super::source::{Picked, Product, Source};
use super::{KernelError, KernelOptions, algebra};
use crate::tensor::{DType, Device, Guard, Tensor};

/// How an engine reads rows.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// All at once, in place; the engine skips those that do not count.
    InPlace,
    /// Those that count, at most `at_once` at a time.
    Picked { at_once: i64 },
}

/// The tensors that rows are read from.
pub(super) struct Inputs<'a> {
    pub(super) policy: Source<'a>,
    pub(super) references: Vec<Source<'a>>,
    pub(super) ids: Ids,
    /// `[B·T]` f64: what the batch divides each row by, if it does. Only the forward pass needs it.
    pub(super) divisors: Option<Tensor>,
    /// B and T.
    pub(super) shape: [i64; 2],
    /// The kind of the logits, given or computed.
    pub(super) dtype: DType,
}

/// Some of the counted rows.
pub(super) struct Part {
    /// Their range among the counted rows.
    pub(super) range: Range<i64>,
    /// Their indices in batch and time.
    pub(super) at: [Tensor; 2],
    pub(super) chunk: Chunk,
    /// What the policy's logits were computed from, if they were, in the backward pass.
    pub(super) product: Option<Product>,
}

impl Reading {
    pub(super) fn of(rows: &Rows<'_>, options: &KernelOptions) -> Result<Self, KernelError> {
        let sources = || std::iter::once(rows.policy).chain(rows.references.iter().copied());
        let engine = engine::of(rows.policy.host()?, rows.policy.device());
        if engine.reads_in_place() && sources().all(|source| source.lies_in_rows()) {
            return Ok(Self::InPlace);
        }
        let of_logits: usize = sources().map(|source| source.head().bytes(rows.logits)).sum();
        let row = rows.vocabulary as usize * of_logits;
        Ok(Self::Picked { at_once: (options.chunk_bytes / row).max(1) as i64 })
    }

    /// Keeps automatic mixed precision out of the computation, whose kinds are those of the forward pass, until the guard
    /// is dropped. What is read in place on the CPU is computed without the host's operations.
    pub(super) fn no_autocast(self, near: &Tensor) -> Option<Guard> {
        if matches!(self, Self::InPlace) && near.device() == Device::Cpu { None } else { near.no_autocast() }
    }
}

impl Inputs<'_> {
    pub(super) fn engine(&self) -> Result<&'static dyn Engine, KernelError> {
        Ok(engine::of(self.policy.host()?, self.policy.device()))
    }

    /// A tensor on the device.
    pub(super) fn near(&self) -> &Tensor {
        self.policy.tensors()[0]
    }

    pub(super) fn read(&self, plan: &Plan, reading: Reading) -> Result<Found, KernelError> {
        match reading {
            Reading::InPlace => self.engine()?.read(plan, &self.whole()?),
            Reading::Picked { at_once } => {
                let (mut sums, mut facts) = (Vec::new(), Vec::new());
                self.each_part(at_once, false, |part, _| {
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
    pub(super) fn placed(&self, plan: &Plan, found: &Found, reading: Reading) -> Result<Tensor, KernelError> {
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
    pub(super) fn whole(&self) -> Result<Chunk, KernelError> {
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

    /// Computes the rows that count, some at a time, for the backward pass with slopes.
    pub(super) fn each_part(
        &self,
        at_once: i64,
        slopes: bool,
        mut work: impl FnMut(Part, &Source<'_>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let [actions, mask] = self.ids.flat();
        let places = positions(mask).ok()?;
        let count = places.length(0);
        let policy = self.policy.in_dtype(self.dtype);
        let references: Vec<_> = self.references.iter().map(|of| of.in_dtype(self.dtype)).collect();
        let policy = policy.source();
        let mut start = 0;
        while start < count {
            let range = start..count.min(start + at_once);
            start = range.end;
            let places = places.narrow(0, range.start, range.end - range.start);
            let at = self.at(&places);
            let Picked { logits, product } = policy.pick(&at, self.dtype, slopes)?;
            let compared = references.iter().map(|of| Ok(of.source().pick(&at, self.dtype, false)?.logits));
            let all = places.full(&places.size(), 1i64, DType::Bool);
            let chunk = Chunk {
                logits,
                references: compared.collect::<Result<_, KernelError>>()?,
                ids: Ids::new(actions.index_select(0, &places).ok()?, all.ok()?)
                    .with_lists(self.ids.lists().map(|lists| lists.pick(&places))),
                divisors: self.divisors.as_ref().map(|all| all.index_select(0, &places).ok()).transpose()?,
            };
            work(Part { range, at, chunk, product }, &policy)?;
        }
        Ok(())
    }

    /// The indices of rows in batch and time.
    pub(super) fn at(&self, places: &Tensor) -> [Tensor; 2] {
        // A batch without columns has no rows.
        let time = self.shape[1].max(1);
        [places.floor_divide(time), places.remainder(time)]
    }
}
