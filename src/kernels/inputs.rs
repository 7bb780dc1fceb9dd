//! The tensors that rows are read from, and how an engine gets to read them: in place, or a few at a time.

use std::ops::Range;

use super::engine::{Chunk, Engine, Found, Numbers};
use super::ids::Ids;
use super::rows::{Rows, positions, summed_in};
use super::source::{Picked, Product, Source};
use super::{KernelError, KernelOptions, algebra};
use crate::passes::Plan;
use crate::tensor::{DType, Device, Guard, Tensor};

/// How an engine reads rows.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// All at once, in place; the engine skips those that do not count.
    InPlace,
    /// Those that count, at most `at_once` at a time.
    Picked { at_once: i64 },
    /// All, at most `at_once` at a time; the engine skips those that do not count. Picking would ask the device how many
    /// count, which a stream that is captured cannot answer.
    Cut { at_once: i64 },
}

/// The tensors that rows are read from.
pub(super) struct Inputs<'a> {
    pub(super) engine: &'static dyn Engine,
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

/// Some of the rows that are read.
pub(super) struct Part {
    /// Their range among the rows that are read.
    pub(super) range: Range<i64>,
    /// Their indices in batch and time.
    pub(super) at: [Tensor; 2],
    pub(super) chunk: Chunk,
    /// What the policy's logits were computed from, if they were, in the backward pass.
    pub(super) product: Option<Product>,
}

impl Reading {
    pub(super) fn of(rows: &Rows<'_>, engine: &dyn Engine, options: &KernelOptions) -> Self {
        let sources = || std::iter::once(rows.policy).chain(rows.references.iter().copied());
        if engine.reads_in_place() && sources().all(|source| source.lies_in_rows()) {
            return Self::InPlace;
        }
        let of_logits: usize = sources().map(|source| source.head().bytes(rows.logits)).sum();
        let row = rows.vocabulary as usize * of_logits;
        let at_once = (options.chunk_bytes / row).max(1) as i64;
        if engine.is_captured() { Self::Cut { at_once } } else { Self::Picked { at_once } }
    }

    /// Keeps automatic mixed precision out of the computation, whose kinds are those of the forward pass, until the guard
    /// is dropped. What is read in place on the CPU is computed without the host's operations.
    pub(super) fn no_autocast(self, near: &Tensor) -> Option<Guard> {
        if matches!(self, Self::InPlace) && near.device() == Device::Cpu { None } else { near.no_autocast() }
    }
}

impl Inputs<'_> {
    /// A tensor on the device.
    pub(super) fn near(&self) -> &Tensor {
        self.policy.tensors()[0]
    }

    pub(super) fn read(&self, plan: &Plan, reading: Reading) -> Result<Found, KernelError> {
        match reading {
            Reading::InPlace => self.engine.read(plan, &self.whole()?),
            Reading::Picked { at_once } | Reading::Cut { at_once } => {
                let (mut sums, mut facts) = (Vec::new(), Vec::new());
                self.each_part(reading, at_once, false, |part, _| {
                    let found = self.engine.read(plan, &part.chunk)?;
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
            Reading::InPlace | Reading::Cut { .. } => {
                if let Some(known) = self.ids.known() {
                    return algebra::statistics(plan, found, Some(&known.counted), dtype, near, size);
                }
                let values = algebra::statistics(plan, found, None, dtype, near, &[count, batch * time])?;
                of_rows(self.ids.flat()[1].where_cond(&values, &values.zeros(&[], dtype)))
            }
            Reading::Picked { .. } => {
                let places = self.places(reading);
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

    /// The `[M]` places of the rows that are read.
    pub(super) fn places(&self, reading: Reading) -> Tensor {
        let mask = &self.ids.flat()[1];
        match reading {
            Reading::Picked { .. } => positions(mask),
            // Nobody asks the device how many there are.
            Reading::InPlace | Reading::Cut { .. } => {
                mask.full(&mask.size(), 1i64, DType::I64).cumsum(0, DType::I64) - 1i64
            }
        }
    }

    /// The indices in batch and time of rows that are not read, if there may be any.
    pub(super) fn skipped(&self, reading: Reading) -> Option<[Tensor; 2]> {
        let picks = matches!(reading, Reading::Picked { .. });
        picks.then(|| self.at(&positions(&self.ids.flat()[1].logical_not())))
    }

    /// Computes the rows that are read, `at_once` at a time, for the backward pass with slopes.
    pub(super) fn each_part(
        &self,
        reading: Reading,
        at_once: i64,
        slopes: bool,
        mut work: impl FnMut(Part, &Source<'_>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let [actions, mask] = self.ids.flat();
        let places = self.places(reading).ok()?;
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
            let counted = mask.index_select(0, &places).ok()?;
            let some = matches!(reading, Reading::Cut { .. }).then_some(&counted);
            let Picked { logits, product } = policy.pick(&at, some, self.dtype, slopes)?;
            let compared =
                references.iter().map(|of| Ok(of.source().pick(&at, some, self.dtype, false)?.logits));
            let compared = compared.collect::<Result<_, KernelError>>()?;
            let chunk = Chunk {
                logits,
                references: compared,
                ids: Ids::new(actions.index_select(0, &places).ok()?, counted)
                    .with_lists(self.ids.lists().map(|lists| lists.pick(&places))),
                divisors: self.divisors.as_ref().map(|all| all.index_select(0, &places).ok()).transpose()?,
            };
            work(Part { range, at, chunk, product }, &policy)?;
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

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor as TchTensor};

    use super::*;
    use crate::kernels::engine::WrongId;
    use crate::kernels::node::row_statistics_by;
    use crate::kernels::{Head, Hidden, RowInputs, cpu::Cpu};
    use crate::rows::{RowStatistic, Statistic, TokenSet};

    /// The engine of the CPU, on a stream that is captured or not.
    struct Captured(bool);

    impl Engine for Captured {
        fn reads_in_place(&self) -> bool {
            Cpu.reads_in_place()
        }
        fn wrong_id(&self) -> WrongId {
            Cpu.wrong_id()
        }
        fn is_captured(&self) -> bool {
            self.0
        }
        fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError> {
            assert_eq!(self.0, chunk.rows() == 1 || chunk.rows() == 3, "rows are picked where they can be");
            Cpu.read(plan, chunk)
        }
        fn write_gradient(
            &self,
            plan: &Plan,
            chunk: &Chunk,
            found: &Found,
            cotangents: &Numbers,
            gradient: &Tensor,
        ) -> Result<(), KernelError> {
            Cpu.write_gradient(plan, chunk, found, cotangents, gradient)
        }
    }

    static PLAIN: Captured = Captured(false);
    static CAPTURED: Captured = Captured(true);

    fn wave(size: &[i64], step: f64) -> TchTensor {
        (TchTensor::arange(size.iter().product::<i64>(), (Kind::Double, Device::Cpu)) * step).sin().view(size)
    }

    /// Statistics and gradients of 4 rows of which 2 count.
    fn outcome(engine: &'static Captured, chunk_bytes: usize) -> Vec<Vec<f64>> {
        let mask = TchTensor::from_slice(&[true, false, true, false]).view([2, 2]);
        let poisoned = wave(&[2, 2, 5], 1.3).masked_fill(&mask.logical_not().unsqueeze(2), f64::NAN);
        let leaf = |tensor: TchTensor| Tensor::from(tensor.set_requires_grad(true));
        let [hidden, weight, bias] = [leaf(poisoned), leaf(wave(&[11, 5], 0.7)), leaf(wave(&[11], 2.1))];
        let reference = Tensor::from(wave(&[2, 2, 11], 0.4));
        let mask = Tensor::from(mask);
        let actions = Tensor::from(TchTensor::from_slice(&[3i64, -100, 0, 7]).view([2, 2]));
        let head = Head { softcap: Some(1.5), ..Head::default() };
        let inputs = RowInputs {
            policy: Source::Hidden(Hidden { hidden: &hidden, weight: &weight, bias: Some(&bias), head }),
            references: &[(None, Source::Logits(&reference))],
            ..RowInputs::new(&reference, &actions, &mask)
        };
        let of = |set, statistic| RowStatistic::new(set, 0.9, statistic);
        let request = [
            of(TokenSet::All, Statistic::LogProb),
            of(TokenSet::TopK(4), Statistic::Entropy),
            of(TokenSet::All, Statistic::ForwardKl),
        ];
        let rows = Rows::checked(&inputs, &request).unwrap();
        let options = KernelOptions { chunk_bytes, ..KernelOptions::default() };
        let plan = Plan::new(&request, &[], &[], rows.vocabulary);
        let found = row_statistics_by(engine, &rows, &plan, &options).unwrap();
        let sum = found.iter().map(Tensor::sum).reduce(|a, b| a + b).unwrap();
        sum.backward().unwrap();
        let gradients = [&hidden, &weight, &bias].map(|leaf| leaf.grad().unwrap());
        found.iter().chain(&gradients).map(|tensor| tensor.to_f64s().unwrap()).collect()
    }

    #[test]
    fn rows_that_cannot_be_picked_are_cut_and_give_the_same() {
        let expected = outcome(&PLAIN, 1 << 20);
        assert!(expected.iter().flatten().all(|number| number.is_finite()));
        // One row at a time, and three: 8 bytes for a logit of the reference, 24 for one of a head with a cap.
        for chunk_bytes in [1, 3 * 11 * 32] {
            let found = outcome(&CAPTURED, chunk_bytes);
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert!((found - expected).abs() < 1e-12, "expected {expected}, found {found}");
            }
        }
    }
}
