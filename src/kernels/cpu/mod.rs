//! Fused row statistics: vector instructions read each row from memory once forward and once backward.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the level that runs it")]

mod backward;
mod compare;
mod dispatch;
mod exp;
mod exponents;
mod ln;
mod number;
mod row;
mod scan;
mod select;
mod sums;
#[cfg(test)]
mod tests;

use crate::tensor::{DType, Host, Tensor};
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use self::number::Element;
use self::row::{Known, Pair, Place, Tokens};
use super::KernelError;
use super::engine::{Chunk, Engine, Found, Numbers, WrongId};
use super::ids::HostIds;
use super::memory::address;
use super::threads::{Workers, parallel};
use crate::passes::Plan;

/// The least number of logits worth waking a thread for.
const WORTH_A_THREAD: usize = 1 << 15;

/// The engine of the CPU.
pub(super) struct Cpu;

/// Calls a function with the element type of a tensor.
macro_rules! by_kind {
    ($tensor:expr, $function:ident($($arg:expr),*)) => {
        match $tensor.dtype() {
            DType::F64 => $function::<f64>($($arg),*),
            DType::BF16 => $function::<bf16>($($arg),*),
            DType::F16 => $function::<f16>($($arg),*),
            _ => $function::<f32>($($arg),*),
        }
    };
}

impl Engine for Cpu {
    fn reads_in_place(&self) -> bool {
        true
    }

    fn wrong_id(&self) -> WrongId {
        WrongId::Refused
    }

    fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError> {
        chunk.check(plan)?;
        let divisors = chunk.divisors(plan)?.map(Tensor::to_f64s).transpose()?;
        let rows = Rows { divisors, ..Rows::of(chunk)? };
        let lines = by_kind!(chunk.logits, read_rows(&rows, plan))?;
        let columns = plan.sums() + plan.facts();
        let part = |of: Range<usize>| {
            let mut part = Vec::with_capacity(lines.len() / columns * of.len());
            lines.chunks_exact(columns).for_each(|line| part.extend_from_slice(&line[of.clone()]));
            Numbers::Host(Arc::new(part))
        };
        Ok(Found { sums: part(0..plan.sums()), facts: part(plan.sums()..columns) })
    }

    fn write_gradient(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        cotangents: &Numbers,
        gradient: &Tensor,
    ) -> Result<(), KernelError> {
        chunk.check_backward(plan, found, cotangents, gradient)?;
        let rows = Rows::of(chunk)?;
        let (sums, facts) = (found.sums.host()?, found.facts.host()?);
        let lines = Lines { sums: &sums, facts: &facts, cotangents: &cotangents.host()? };
        let to = Layout::of(gradient)?;
        by_kind!(chunk.logits, write_rows(&rows, plan, &lines, &to))
    }
}

/// The rows of a chunk, which any thread can use.
struct Rows {
    logits: Layout,
    references: Vec<Layout>,
    ids: Arc<HostIds>,
    /// What the batch divides each row by, if it does.
    divisors: Option<Vec<f64>>,
    host: &'static dyn Host,
}

/// The forward results and cotangents of all rows, one line per row.
struct Lines<'a> {
    sums: &'a [f64],
    facts: &'a [f64],
    cotangents: &'a [f64],
}

impl Rows {
    fn of(chunk: &Chunk) -> Result<Self, KernelError> {
        Ok(Self {
            logits: Layout::of(&chunk.logits)?,
            references: chunk.references.iter().map(Layout::of).collect::<Result<_, _>>()?,
            ids: chunk.ids.host(chunk.logits.length(2))?,
            divisors: None,
            host: chunk.logits.host()?,
        })
    }

    /// The ids listed for a row.
    fn listed(&self, plan: &Plan, index: usize) -> &[i64] {
        let width: usize = plan.lists.iter().sum();
        &self.ids.listed[index * width..][..width]
    }

    /// Row `index` of each reference.
    ///
    /// # Safety
    /// The chunk must be alive, on the CPU and of kind `E`, with a last stride of one, and contain row `index`.
    unsafe fn compared<E>(&self, index: usize) -> Vec<&[E]> {
        // SAFETY: the caller promises it; the references have the shape and kind of the logits.
        self.references.iter().map(|layout| unsafe { layout.row(index) }).collect()
    }
}

fn read_rows<E: Element>(rows: &Rows, plan: &Plan) -> Result<Vec<f64>, KernelError> {
    let (count, vocabulary) = (rows.ids.counted.len(), rows.logits.vocabulary);
    parallel(
        count,
        plan.sums() + plan.facts(),
        workers(rows, vocabulary),
        || row::Scratch::new(if plan.ranks() { vocabulary } else { 0 }),
        |scratch, index, line| {
            let (sums, facts) = line.split_at_mut(plan.sums());
            let mut line = row::Line { sums, facts };
            if rows.ids.counted[index] {
                // SAFETY: the tensors are of kind `E` and on the CPU, their last stride is one, and they stay borrowed
                // while workers run.
                let (row, references) = unsafe { (rows.logits.row::<E>(index), rows.compared(index)) };
                let divisor = rows.divisors.as_ref().map_or(1.0, |divisors| divisors[index]);
                let pair = Pair { row, references: &references, divisor };
                let tokens =
                    Tokens { action: rows.ids.actions[index] as usize, listed: rows.listed(plan, index) };
                row::read(&pair, &tokens, plan, scratch, &mut line);
            } else {
                plan.skip(line.sums, line.facts);
            }
        },
    )
}

fn write_rows<E: Element>(
    rows: &Rows,
    plan: &Plan,
    lines: &Lines<'_>,
    to: &Layout,
) -> Result<(), KernelError> {
    let count = rows.ids.counted.len();
    let write = |(slopes, references): &mut (Vec<_>, Vec<_>), index: usize, _: &mut [f64]| {
        references.clear();
        references.extend(rows.references.iter().map(|layout| layout.start::<E>(index).cast_const()));
        let place = Place {
            row: rows.logits.start::<E>(index),
            references,
            gradient: to.start::<E>(index),
            vocabulary: rows.logits.vocabulary,
        };
        let of = |lines: &'_ [f64], columns: usize| -> Range<usize> {
            debug_assert_eq!(lines.len(), count * columns);
            index * columns..(index + 1) * columns
        };
        let known = rows.ids.counted[index].then(|| Known {
            tokens: Tokens { action: rows.ids.actions[index] as usize, listed: rows.listed(plan, index) },
            sums: &lines.sums[of(lines.sums, plan.sums())],
            facts: &lines.facts[of(lines.facts, plan.facts())],
            cotangents: &lines.cotangents[of(lines.cotangents, plan.sums())],
        });
        // SAFETY: the tensors are of kind `E` and on the CPU, their last stride is one, and they stay borrowed while
        // workers run. The gradient has the shape and kind of the logits, and only the worker that took the index
        // writes its row. If the gradient overwrites the logits, only that worker reads the row.
        unsafe { row::write_gradient(&place, known.as_ref(), plan, slopes) };
    };
    parallel(count, 0, workers(rows, rows.logits.vocabulary), Default::default, write)?;
    Ok(())
}

fn workers(rows: &Rows, vocabulary: usize) -> Workers {
    let count = (rows.ids.counted.len() * vocabulary).div_ceil(WORTH_A_THREAD);
    // Take many short rows at once: memory is prefetched only when read in order.
    Workers {
        host: rows.host,
        threads: if count > 1 { rows.host.threads() } else { 1 },
        count,
        at_once: (WORTH_A_THREAD / vocabulary).max(1),
    }
}

/// The addresses of the rows of a `[B, T, V]` tensor, as plain numbers that can move between threads.
struct Layout {
    address: usize,
    time: usize,
    strides: [usize; 2],
    vocabulary: usize,
}

impl Layout {
    fn of(tensor: &Tensor) -> Result<Self, KernelError> {
        let (size, stride) = (tensor.size(), tensor.stride());
        Ok(Self {
            address: address("logits", tensor)? as usize,
            time: size[1] as usize,
            strides: [stride[0] as usize, stride[1] as usize],
            vocabulary: size[2] as usize,
        })
    }

    fn start<E>(&self, index: usize) -> *mut E {
        let offset = index / self.time * self.strides[0] + index % self.time * self.strides[1];
        (self.address as *mut E).wrapping_add(offset)
    }

    /// # Safety
    /// The tensor must be alive, on the CPU, of kind `E` and with a last stride of one, and `index` must be one of its
    /// rows; nothing may write it.
    unsafe fn row<E>(&self, index: usize) -> &[E] {
        // SAFETY: the caller promises it.
        unsafe { std::slice::from_raw_parts(self.start(index), self.vocabulary) }
    }
}
