//! Row statistics fused: each row is read from memory once forward and once backward, by vector instructions.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the level that runs it")]

mod dispatch;
mod exp;
mod number;
mod plan;
mod row;
mod scan;
mod select;
mod sums;

use half::{bf16, f16};
use tch::{Device, Kind, Tensor};

use self::number::Element;
use self::plan::{Plan, Row};
use super::autograd::{self, Backward};
use super::rows::Rows;
use super::{KernelError, Moment, RowStatistic};

/// Fewer logits than this for each thread are not worth waking it.
const WORTH_A_THREAD: usize = 1 << 15;

/// Whether the logits can be read here.
pub(super) fn supports(logits: &Tensor) -> bool {
    logits.device() == Device::Cpu
}

/// Each statistic of the request, at its place in `[B, T]`.
pub(super) fn row_statistics(rows: &Rows, request: &[RowStatistic]) -> Result<Vec<Tensor>, KernelError> {
    // A row must lie in one piece; how the rows lie is free.
    let logits = match rows.logits.stride().last() {
        Some(1) => rows.logits.shallow_clone(),
        _ => rows.logits.f_contiguous()?,
    };
    let statistics = Statistics::read(&logits, rows, request)?;
    let values = Tensor::f_from_slice(&statistics.values())?.f_to_kind(rows.kind())?;
    let values = values.f_view([request.len() as i64, rows.shape[0], rows.shape[1]])?;
    let plain = values.f_detach()?.f_unbind(0)?;
    if !logits.requires_grad() {
        return Ok(plain);
    }
    let attached = autograd::attach(&logits, &values, statistics)?.f_unbind(0)?;
    let both = plain.into_iter().zip(attached).zip(request);
    Ok(both
        .map(|((plain, attached), asked)| if asked.moment == Moment::Size { plain } else { attached })
        .collect())
}

/// What the forward pass leaves for the backward pass: a few numbers for each row.
struct Statistics {
    plan: Plan,
    /// Of the valid rows.
    rows: Vec<Row>,
    /// Of the valid rows.
    actions: Vec<usize>,
    /// For each row of the batch its index among the valid ones, where it is one.
    valid: Vec<Option<usize>>,
}

/// Calls a function of the element kind of a tensor.
macro_rules! by_kind {
    ($tensor:expr, $function:ident($($arg:expr),*)) => {
        match $tensor.kind() {
            Kind::Double => $function::<f64>($($arg),*),
            Kind::BFloat16 => $function::<bf16>($($arg),*),
            Kind::Half => $function::<f16>($($arg),*),
            _ => $function::<f32>($($arg),*),
        }
    };
}

impl Statistics {
    fn read(logits: &Tensor, rows: &Rows, request: &[RowStatistic]) -> Result<Self, KernelError> {
        let count = (rows.shape[0] * rows.shape[1]) as usize;
        let actions = Vec::<i64>::try_from(rows.actions.shallow_clone())?;
        let actions: Vec<usize> = actions.into_iter().map(|id| id as usize).collect();
        let positions: Vec<usize> = match &rows.positions {
            Some(positions) => {
                Vec::<i64>::try_from(positions.shallow_clone())?.into_iter().map(|at| at as usize).collect()
            }
            None => (0..count).collect(),
        };
        let mut valid = vec![None; count];
        for (index, position) in positions.iter().enumerate() {
            valid[*position] = Some(index);
        }
        let plan = Plan::new(request, logits.size()[2]);
        let rows = by_kind!(logits, read_rows(logits, &positions, &actions, &plan));
        Ok(Self { plan, rows, actions, valid })
    }

    /// `[statistic, row of the batch]`, zero where a row is not valid.
    fn values(&self) -> Vec<f64> {
        let value =
            |index, row: &Option<usize>| row.map_or(0.0, |row| self.plan.value(index, &self.rows[row]));
        let of_rows = |index| self.valid.iter().map(move |row| value(index, row));
        (0..self.plan.statistics.len()).flat_map(of_rows).collect()
    }
}

impl Backward for Statistics {
    fn backward(
        &self,
        logits: &Tensor,
        cotangents: &Tensor,
        gradient: &mut Tensor,
    ) -> Result<(), KernelError> {
        let cotangents = cotangents.f_to_kind(Kind::Double)?.f_contiguous()?.f_view(-1)?;
        let cotangents = Vec::<f64>::try_from(cotangents)?;
        by_kind!(logits, write_gradient(self, logits, &cotangents, gradient));
        Ok(())
    }
}

fn read_rows<E: Element>(logits: &Tensor, positions: &[usize], actions: &[usize], plan: &Plan) -> Vec<Row> {
    let layout = Layout::of(logits);
    autograd::parallel(
        positions.len(),
        workers(positions.len() * layout.vocabulary),
        || select::Scratch::new(if plan.needs_scratch() { layout.vocabulary } else { 0 }),
        |scratch, index| {
            // SAFETY: the tensor is of kind `E` and on the CPU, its last stride is one, the position is one of its
            // rows, and it is borrowed while workers run.
            let row = unsafe { layout.row::<E>(positions[index]) };
            row::read(row, actions[index], plan, scratch)
        },
    )
}

fn write_gradient<E: Element>(
    statistics: &Statistics,
    logits: &Tensor,
    cotangents: &[f64],
    gradient: &Tensor,
) {
    let (from, to) = (Layout::of(logits), Layout::of(gradient));
    let count = statistics.valid.len();
    autograd::prefer_large_pages(gradient, count * from.vocabulary * size_of::<E>());
    autograd::parallel(count, workers(count * from.vocabulary), Vec::new, |slopes, position| {
        // SAFETY: as in `read_rows`; the gradient has the shape and kind of the logits, nobody else holds it yet, and
        // each of its rows is written by the one worker that took the position.
        let (row, gradient) = unsafe { (from.row::<E>(position), to.row_mut::<E>(position)) };
        let Some(index) = statistics.valid[position] else {
            return row::write_all(0.0, gradient);
        };
        let cotangent = |statistic: usize| cotangents[statistic * count + position];
        row::write_gradient(
            row,
            &statistics.rows[index],
            statistics.actions[index],
            &statistics.plan,
            cotangent,
            slopes,
            gradient,
        );
    });
}

fn workers(elements: usize) -> usize {
    (tch::get_num_threads() as usize).min(elements.div_ceil(WORTH_A_THREAD)).max(1)
}

/// Where the rows of a `[B, T, V]` tensor lie, as numbers that any thread may have.
struct Layout {
    address: usize,
    time: usize,
    strides: [usize; 2],
    vocabulary: usize,
}

impl Layout {
    fn of(tensor: &Tensor) -> Self {
        let (size, stride) = (tensor.size(), tensor.stride());
        Self {
            address: tensor.data_ptr() as usize,
            time: size[1] as usize,
            strides: [stride[0] as usize, stride[1] as usize],
            vocabulary: size[2] as usize,
        }
    }

    fn start<E>(&self, position: usize) -> *mut E {
        let offset = position / self.time * self.strides[0] + position % self.time * self.strides[1];
        (self.address as *mut E).wrapping_add(offset)
    }

    /// # Safety
    /// The tensor must be alive, on the CPU, of kind `E` and with a last stride of one, and have that many rows.
    unsafe fn row<E>(&self, position: usize) -> &[E] {
        // SAFETY: as the caller promises.
        unsafe { std::slice::from_raw_parts(self.start(position), self.vocabulary) }
    }

    /// # Safety
    /// As for `row`, and nobody else may have the row.
    #[expect(
        clippy::mut_from_ref,
        reason = "the layout does not own the rows; the caller promises that one does"
    )]
    unsafe fn row_mut<E>(&self, position: usize) -> &mut [E] {
        // SAFETY: as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start(position), self.vocabulary) }
    }
}
