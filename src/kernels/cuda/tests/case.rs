//! Runs rows of logits through the emulated kernels and checks every number against the formulas.

#![expect(clippy::float_cmp, reason = "some numbers must be exact")]

use tch::{Device, Kind, Tensor as TchTensor};

use crate::kernels::cuda::Kernels;
use crate::kernels::cuda::emulation::Emulation;
use crate::kernels::engine::{Chunk, Engine, Numbers as Lines};
use crate::kernels::guarded::Guarded;
use crate::kernels::ids::{Ids, Lists};
use crate::kernels::naive;
use crate::passes::{Pass, Plan};
use crate::tensor::Tensor;

/// Rows of logits to check, their layout, and the passes over them.
pub(super) struct Case {
    pub(super) kind: Kind,
    /// All of the same length.
    pub(super) rows: Vec<Vec<f64>>,
    /// Of each reference, one for each row; none if nothing is compared.
    pub(super) references: Vec<Vec<Vec<f64>>>,
    /// Unused elements between rows, and before the first.
    pub(super) gap: usize,
    pub(super) passes: Vec<Pass>,
    pub(super) second: bool,
    pub(super) masked: Vec<usize>,
    /// What the batch divides each row by; none if it does not.
    pub(super) divisors: Vec<f64>,
    pub(super) threads: u32,
    pub(super) in_place: bool,
    /// How many tokens each list has.
    pub(super) lists: Vec<usize>,
    /// Whether the kernel finds only the plan's sets.
    pub(super) specialised: bool,
}

pub(super) const PASS: Pass =
    Pass { temperature: 1.0, divided: false, set: None, compares: None, beta: None };

/// The columns of the facts before those of the first pass.
const FIRST_FACT: usize = 2;

impl Case {
    pub(super) fn new(rows: Vec<Vec<f64>>, passes: Vec<Pass>) -> Self {
        Self {
            kind: Kind::BFloat16,
            references: Vec::new(),
            rows,
            gap: 0,
            passes,
            second: false,
            masked: Vec::new(),
            divisors: Vec::new(),
            threads: 64,
            in_place: false,
            lists: Vec::new(),
            specialised: false,
        }
    }

    /// Reads the rows, writes their gradient, and checks every number.
    pub(super) fn judge(mut self) {
        // The formulas get numbers that the kind can represent.
        for row in self.rows.iter_mut().chain(self.references.iter_mut().flatten()) {
            *row = rounded(row, self.kind);
        }
        let forwards = self.run(false);
        // A dependence on the order of threads or blocks would be the same in every kind; testing one is enough.
        if self.kind == Kind::BFloat16 {
            for (one, other) in forwards.iter().zip(&self.run(true)) {
                let same = one.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(
                    same && one.len() == other.len(),
                    "the order of threads and blocks makes a difference"
                );
            }
        }
        let [sums, facts, gradient, cotangents] = forwards;
        let (columns, facts_of_row) =
            (self.first_listed() + self.width(), FIRST_FACT + 6 * self.passes.len());
        for (index, x) in self.rows.iter().enumerate() {
            let at = |all: &[f64], width: usize| all[index * width..][..width].to_vec();
            self.judge_row(
                index,
                x,
                &at(&sums, columns),
                &at(&facts, facts_of_row),
                &at(&cotangents, columns),
                &at(&gradient, x.len()),
            );
        }
    }

    fn judge_row(&self, index: usize, x: &[f64], sums: &[f64], facts: &[f64], c: &[f64], gradient: &[f64]) {
        if self.masked.contains(&index) {
            for (column, sum) in sums.iter().enumerate() {
                let is_sum =
                    (1..self.first_listed()).contains(&column) && matches!((column - 1) % 10, 0 | 3 | 6);
                assert!(*sum == f64::from(u8::from(is_sum)), "row {index}, column {column}: {sum}");
            }
            let rest = facts.iter().enumerate().filter(|(column, _)| *column != 1).map(|(_, fact)| fact);
            assert!(rest.chain(gradient).all(|number| *number == 0.0), "row {index} is masked");
            assert_eq!(facts[1], 1.0, "row {index} is masked");
            return;
        }
        let compared = self.passes.iter().filter_map(|pass| pass.compares);
        let mut compared = compared.map(|reference| &self.references[reference][index]);
        let divisor = self.divisors.get(index).copied().unwrap_or(1.0);
        if divisor.is_nan() || !naive::is_usable(x) || compared.any(|y| !naive::is_usable(y)) {
            let all = sums.iter().chain(facts).chain(gradient);
            assert!(
                all.clone().all(|number| number.is_nan()),
                "row {index} has no softmax: {sums:?} {facts:?}"
            );
            return;
        }
        assert_eq!((facts[0], facts[1]), (naive::highest(x), divisor), "row {index}");
        let action = self.action(index);
        assert_eq!(sums[0].to_bits(), x[action].to_bits(), "row {index}");
        let mut expected = vec![(0.0, 0.0); x.len()];
        for (number, pass) in self.passes.iter().enumerate() {
            let pass = &Pass { temperature: pass.at(divisor), ..pass.clone() };
            let place =
                format!("row {index}, pass {number}, {:?} of {} in {:?}", pass.set, x.len(), self.kind);
            let least = if self.kind == Kind::Double { -708.0 } else { -87.33 };
            let y = pass.compares.map(|reference| self.references[reference][index].as_slice());
            let found = naive::find(x, y, pass, self.second, least);
            let facts = &facts[FIRST_FACT + 6 * number..][..6];
            assert_eq!(facts[5], y.map_or(0.0, naive::highest), "{place}");
            if pass.set.is_some() {
                let border = |id: usize| if (id as f64) < facts[2] { facts[0] } else { facts[1] };
                let members: Vec<bool> = (0..x.len()).map(|id| x[id] >= border(id)).collect();
                let differing = members.iter().zip(&found.members).filter(|(a, b)| a != b).count();
                assert_eq!(differing, 0, "{place}: {facts:?}");
                assert_eq!(facts[3], members.iter().filter(|is| **is).count() as f64, "{place}");
            }
            let tolerance = if self.kind == Kind::Double { 1e-13 } else { 1e-6 };
            let own = &sums[1 + 10 * number..][..10];
            for (column, sum) in own[..9].iter().enumerate() {
                near(
                    *sum,
                    found.sums[column],
                    tolerance * found.sizes[column],
                    &format!("{place}, {column}"),
                );
            }
            // Terms of both signs cancel, but the small sum must have a small relative error all the same.
            let coarse = if self.kind == Kind::Double { 1e-9 } else { 2e-5 };
            near(own[9], found.sums[9], coarse * found.sums[9].abs() + 1e-15, &format!("{place}, 9"));
            near(facts[4], found.mixed, coarse * found.mixed.abs() + 1e-15, &format!("{place}, mixed"));
            let pass_gradient = found.gradient(pass, self.second, &c[1 + 10 * number..]);
            for ((sum, size), (more, more_size)) in expected.iter_mut().zip(pass_gradient) {
                *sum += more;
                *size += more_size;
            }
        }
        let listed = self.listed(index).into_iter().zip(&sums[self.first_listed()..]);
        for ((id, sum), c) in listed.zip(&c[self.first_listed()..]) {
            let logit = usize::try_from(id).map_or(0.0, |id| x[id]);
            assert_eq!(sum.to_bits(), logit.to_bits(), "row {index}, listed {id}");
            if let Ok(id) = usize::try_from(id) {
                expected[id].0 += c;
                expected[id].1 += c.abs();
            }
        }
        expected[action].0 += c[0];
        expected[action].1 += c[0].abs();
        let rounding = match self.kind {
            Kind::BFloat16 => 2f64.powi(-8),
            Kind::Half => 2f64.powi(-11),
            Kind::Double => 1e-15,
            _ => 2f64.powi(-24),
        };
        let least = if self.kind == Kind::Half { 2f64.powi(-25) } else { 1e-38 };
        for (id, (sum, size)) in expected.iter().enumerate() {
            let tolerance = if self.kind == Kind::Double { 1e-12 } else { 2e-6 };
            let place = format!("row {index} of {} in {:?}, gradient {id}", x.len(), self.kind);
            near(gradient[id], *sum, rounding * sum.abs() + tolerance * size + least, &place);
        }
    }

    /// Reads the rows and writes their gradient, whatever the numbers.
    pub(super) fn runs(&self) {
        self.run(false);
    }

    /// Sums, facts, the gradient and its cotangents.
    fn run(&self, backwards: bool) -> [Vec<f64>; 4] {
        let blocks = 2.min(self.rows.len() as u32);
        let for_all_sets = !self.specialised;
        let emulation = Emulation { threads: self.threads, blocks, backwards, for_all_sets };
        let actions: Vec<i64> = (0..self.rows.len()).map(|index| self.action(index) as i64).collect();
        let mask: Vec<bool> = (0..self.rows.len()).map(|index| !self.masked.contains(&index)).collect();
        // Rows of a reference may begin elsewhere within 16 bytes than those of the policy.
        let mut memory = Vec::new();
        let mut placed = |rows: &[Vec<f64>], gap: usize| {
            let (room, tensor) = self.placed(rows, gap);
            memory.push(room);
            tensor
        };
        let references = self.references.iter().enumerate();
        let references = references.map(|(at, rows)| placed(rows, self.gap + (rows[0].len() / 4 + at) % 3));
        let references = references.collect();
        let chunk = Chunk {
            logits: placed(&self.rows, self.gap),
            references,
            ids: Ids::new(TchTensor::from_slice(&actions).into(), TchTensor::from_slice(&mask).into())
                .with_lists((!self.lists.is_empty()).then(|| self.all_lists())),
            divisors: (!self.divisors.is_empty()).then(|| TchTensor::from_slice(&self.divisors).into()),
        };
        let vocabulary = self.rows[0].len() as i64;
        let plan = Plan {
            passes: self.passes.clone(),
            statistics: Vec::new(),
            second: self.second,
            vocabulary,
            references: self.references.len(),
            lists: self.lists.clone(),
        };
        let cotangents = self.cotangents(plan.sums() as i64);
        let engine = Kernels(emulation);
        let found = engine.read(&plan, &chunk).unwrap();
        let gradient = if self.in_place {
            chunk.logits.clone()
        } else {
            placed(&vec![vec![77.0; self.rows[0].len()]; self.rows.len()], 0)
        };
        let cotangents = Lines::Device(cotangents);
        engine.write_gradient(&plan, &chunk, &found, &cotangents, &gradient).unwrap();
        let [sums, facts, cotangents] =
            [&found.sums, &found.facts, &cotangents].map(|lines| lines.host().unwrap().into_owned());
        [sums, facts, gradient.to_f64s().unwrap(), cotangents]
    }

    fn first_listed(&self) -> usize {
        1 + 10 * self.passes.len()
    }

    fn width(&self) -> usize {
        self.lists.iter().sum()
    }

    /// The ids of a row: pads, both ends of the row, the action, tokens side by side and, across lists, twice.
    fn listed(&self, index: usize) -> Vec<i64> {
        let length = self.rows[0].len() as i64;
        let mut ids = Vec::new();
        for (list, width) in self.lists.iter().enumerate() {
            let step = 1 + (index + list) as i64 % 3 * 7;
            let first = if index.is_multiple_of(2) { 0 } else { self.action(index) as i64 };
            let mut own: Vec<i64> = (0..*width as i64).map(|at| (first + at * step) % length).collect();
            own[width - 1] = length - 1;
            own.sort_unstable();
            own.dedup();
            let pads = own.len().min(index % 3) + width - own.len();
            own =
                std::iter::repeat_n(-1, pads).chain(own.into_iter().rev().take(width - pads).rev()).collect();
            ids.extend(own);
        }
        ids
    }

    fn all_lists(&self) -> Lists {
        let ids: Vec<i64> = (0..self.rows.len()).flat_map(|index| self.listed(index)).collect();
        let ids = TchTensor::from_slice(&ids).view([self.rows.len() as i64, self.width() as i64]);
        Lists { fields: self.lists.iter().map(|width| ("listed", *width)).collect(), ids: ids.into() }
    }

    /// `[B, T, V]`, laid out with a gap, at the end of memory of its own.
    fn placed(&self, rows: &[Vec<f64>], gap: usize) -> (Guarded<u8>, Tensor) {
        let (count, length) = (rows.len(), rows[0].len());
        let stride = length + gap;
        let mut memory = vec![f64::NAN; count * stride];
        for (index, row) in rows.iter().enumerate() {
            memory[gap + index * stride..][..length].copy_from_slice(row);
        }
        let memory = TchTensor::from_slice(&memory).to_kind(self.kind);
        let mut room = Guarded::from(vec![0; memory.numel() * self.kind.elt_size_in_bytes()]);
        let shape = memory.size();
        // SAFETY: the room has as many bytes, and whoever is given the tensor is given the room.
        let mut tensor =
            unsafe { TchTensor::from_blob(room.as_mut_ptr(), &shape, &[1], self.kind, Device::Cpu) };
        tensor.copy_(&memory);
        // Two rows of time if the count is even, so that both strides are used.
        let time = if count % 2 == 0 { 2 } else { 1 };
        let size = [count as i64 / time, time, length as i64];
        let strides = [time * stride as i64, stride as i64, 1];
        (room, tensor.as_strided(size, strides, gap as i64).into())
    }

    fn action(&self, index: usize) -> usize {
        (index * 31 + 3) % self.rows[0].len()
    }

    /// A cotangent for each sum.
    fn cotangents(&self, columns: i64) -> Tensor {
        let mut numbers = Numbers(99);
        let all = (0..self.rows.len() as i64 * columns).map(|_| numbers.next() - 0.5).collect::<Vec<_>>();
        TchTensor::from_slice(&all).view([-1, columns]).into()
    }
}

fn near(found: f64, expected: f64, tolerance: f64, place: &str) {
    let is_near = found == expected || (found - expected).abs() <= tolerance;
    assert!(
        is_near,
        "{place}: expected {expected}, found {found}, {:.1} times what is allowed",
        (found - expected).abs() / tolerance
    );
}

fn rounded(row: &[f64], kind: Kind) -> Vec<f64> {
    Vec::try_from(TchTensor::from_slice(row).to_kind(kind).to_kind(Kind::Double)).unwrap()
}

/// Pseudorandom numbers from 0 to 1, the same on each run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Approximately normal.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }

    pub(super) fn row(&mut self, length: usize, spread: f64) -> Vec<f64> {
        (0..length).map(|_| spread * self.normal()).collect()
    }
}
