//! The loops over a row that sum exponentials.

use std::f64::consts::LN_2;

use super::dispatch::Job;
use super::exponents::{Exponents, Powers, scaled};
use super::number::{BLOCK, Buffer, Element, LANES, Real};
use super::scan::{Extent, Seen};

/// The border of a set: tokens before `cut` are in it from logit `from` up, the others from `from_after` up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Border {
    pub(crate) from: f64,
    pub(crate) from_after: f64,
    pub(crate) cut: usize,
    /// The number of tokens in the set.
    pub(crate) size: usize,
}

/// `Σ e^u`, `Σ u e^u` and `Σ u² e^u`; inside the loops the same of `t`.
pub(crate) type Sums = [f64; 3];

/// Sums over all tokens and over those of a set.
pub(crate) struct Forward<'a, E> {
    pub(crate) row: &'a [E],
    pub(crate) highest: f64,
    pub(crate) temperature: f64,
    pub(crate) border: Option<Border>,
    /// Whether the second moment is wanted.
    pub(crate) second: bool,
}

impl<E: Element> Job for Forward<'_, E> {
    type Output = [Sums; 2];

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> [Sums; 2] {
        match (self.border, self.second) {
            (None, false) => self.sums::<LEVEL, false, false>(self.row.len(), [0.0; 2]),
            (None, true) => self.sums::<LEVEL, false, true>(self.row.len(), [0.0; 2]),
            (Some(border), false) => {
                self.sums::<LEVEL, true, false>(border.cut, [border.from, border.from_after])
            }
            (Some(border), true) => {
                self.sums::<LEVEL, true, true>(border.cut, [border.from, border.from_after])
            }
        }
    }
}

impl<E: Element> Forward<'_, E> {
    #[inline(always)]
    fn sums<const LEVEL: u8, const SET: bool, const SECOND: bool>(
        &self,
        cut: usize,
        from: [f64; 2],
    ) -> [Sums; 2] {
        let [mut whole, mut inside] = [Totals::new(), Totals::new()];
        let (mut buffer, mut powers) = (Buffer::new(), Powers::new());
        let exponents = Exponents::new(self.highest, self.temperature);
        let (before, after) = self.row.split_at(cut);
        for (part, from) in [(before, from[0]), (after, from[1])] {
            let from = E::Real::of(from);
            for block in part.chunks(BLOCK) {
                let block = E::widened(block, &mut buffer);
                whole.add::<E::Real, LEVEL, SECOND>(powers.of::<LEVEL>(block, &exponents));
                if SET {
                    inside.add::<E::Real, LEVEL, SECOND>(powers.of_set(block, from));
                }
            }
        }
        [whole.sums(), inside.sums()]
    }
}

/// The extent of a row and its sums without a set, in one reading. Each block is summed relative to the highest logit so far; a
/// higher one rescales the sums before it.
pub(crate) struct Running<'a, E> {
    pub(crate) row: &'a [E],
    pub(crate) temperature: f64,
    /// Whether the second moment is wanted.
    pub(crate) second: bool,
}

impl<E: Element> Job for Running<'_, E> {
    type Output = (Extent, Sums);

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> (Extent, Sums) {
        if self.second { self.sums::<LEVEL, true>() } else { self.sums::<LEVEL, false>() }
    }
}

impl<E: Element> Running<'_, E> {
    #[inline(always)]
    fn sums<const LEVEL: u8, const SECOND: bool>(&self) -> (Extent, Sums) {
        let mut totals = Totals::new();
        let (mut buffer, mut powers) = (Buffer::new(), Powers::new());
        let mut seen = Seen::new();
        let mut highest = E::Real::NEG_INFINITY;
        let mut exponents = Exponents::new(0.0, self.temperature);
        for block in self.row.chunks(BLOCK) {
            let block = E::widened(block, &mut buffer);
            seen.block(block);
            if seen.is_above(highest) {
                let higher = seen.highest();
                if highest > E::Real::NEG_INFINITY {
                    totals.move_by((highest.wide() - higher) / (self.temperature * LN_2));
                }
                highest = E::Real::of(higher);
                exponents = Exponents::new(higher, self.temperature);
            }
            if highest > E::Real::NEG_INFINITY && highest < E::Real::INFINITY {
                totals.add::<E::Real, LEVEL, SECOND>(powers.of::<LEVEL>(block, &exponents));
            }
        }
        (seen.extent(), totals.sums())
    }
}

/// The numbers that a block's sums keep apart, so that few additions wait for each other.
const WIDE: usize = 2 * LANES;
/// Those that a row's sums keep apart.
const FOLDED: usize = WIDE / 4;

/// Sums of `t` by lane. In f64, so that the rounding error of a block does not grow with the row.
struct Totals([[f64; FOLDED]; 3]);

impl Totals {
    fn new() -> Self {
        Self([[0.0; FOLDED]; 3])
    }

    /// Adds a block.
    #[inline(always)]
    fn add<R: Real, const LEVEL: u8, const SECOND: bool>(
        &mut self,
        (exponents, powers): (&[R; BLOCK], &[R; BLOCK]),
    ) {
        let mut lanes = [[R::default(); WIDE]; 3];
        let [t, e] = [exponents, powers].map(|numbers| numbers.as_chunks::<WIDE>().0);
        for (t, e) in t.iter().zip(e) {
            for lane in 0..WIDE {
                lanes[0][lane] = lanes[0][lane].add(e[lane]);
                lanes[1][lane] = e[lane].mul_add::<LEVEL>(t[lane], lanes[1][lane]);
                if SECOND {
                    lanes[2][lane] = e[lane].mul(t[lane]).mul_add::<LEVEL>(t[lane], lanes[2][lane]);
                }
            }
        }
        for (totals, lanes) in self.0.iter_mut().zip(lanes).take(2 + usize::from(SECOND)) {
            for (lane, total) in totals.iter_mut().enumerate() {
                let low = lanes[lane].add(lanes[FOLDED + lane]);
                let high = lanes[2 * FOLDED + lane].add(lanes[3 * FOLDED + lane]);
                *total += low.add(high).wide();
            }
        }
    }

    /// What they are where each `t` becomes `t + by`, with `by <= 0`.
    fn move_by(&mut self, by: f64) {
        // Below this `2^by` is zero anyway, and the products stay finite.
        let by = by.max(-2e3);
        let [norms, firsts, seconds] = &mut self.0;
        for ((norm, first), second) in norms.iter_mut().zip(firsts).zip(seconds) {
            *second = by.exp2() * (*second + by * (2.0 * *first + by * *norm));
            *first = by.exp2() * (*first + by * *norm);
            *norm *= by.exp2();
        }
    }

    /// The sums of `u`.
    fn sums(&self) -> Sums {
        scaled(self.0.map(|lanes| lanes.iter().sum()))
    }
}

/// `Σ e^u` entirely in f64, where the last token of a set depends on it.
pub(crate) struct TotalInF64<'a, E> {
    pub(crate) row: &'a [E],
    pub(crate) highest: f64,
    pub(crate) temperature: f64,
}

impl<E: Element> Job for TotalInF64<'_, E> {
    type Output = f64;

    #[inline(always)]
    fn run<const LEVEL: u8>(self) -> f64 {
        let mut lanes = [0.0; LANES];
        let mut buffer = Buffer::new();
        for block in self.row.chunks(BLOCK) {
            for chunk in E::widened(block, &mut buffer).chunks(LANES) {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += <f64 as Real>::exp::<LEVEL>((x.wide() - self.highest) / self.temperature);
                }
            }
        }
        lanes.iter().sum()
    }
}

/// `e^u` of each value in f64.
pub(crate) struct Weights<'a, R> {
    pub(crate) values: &'a [R],
    pub(crate) highest: f64,
    pub(crate) temperature: f64,
    pub(crate) to: &'a mut [f64],
}

impl<R: Real> Job for Weights<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const LEVEL: u8>(self) {
        for (weight, x) in self.to.iter_mut().zip(self.values) {
            *weight = <f64 as Real>::exp::<LEVEL>((x.wide() - self.highest) / self.temperature);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::dispatch::{at_each_level, run};
    use crate::kernels::cpu::scan::Highest;

    /// What one reading finds is what two find: the extent, and the sums relative to it.
    fn check<E: Element>(row: &[E]) {
        let extent = run(Highest(row));
        for (temperature, second) in [(1.0, false), (0.5, true)] {
            let (found, sums) = run(Running { row, temperature, second });
            assert_eq!(found.is_usable, extent.is_usable);
            if !extent.is_usable {
                continue;
            }
            assert_eq!(found.highest.to_bits(), extent.highest.to_bits());
            let highest = extent.highest;
            for (degree, sum) in sums.iter().enumerate().take(if second { 3 } else { 2 }) {
                let terms = row.iter().map(|x| (x.real().wide() - highest) / temperature);
                let terms = terms.filter(|u| *u > -700.0).map(|u| u.powi(degree as i32) * u.exp());
                let expected: f64 = terms.sum();
                assert!((sum - expected).abs() <= 1e-6 * expected.abs(), "{degree}: {sum} for {expected}");
            }
        }
    }

    #[test]
    fn one_reading_finds_what_two_find() {
        let count = 3 * BLOCK + 7;
        let rising: Vec<f32> = (0..count).map(|at| at as f32 / BLOCK as f32).collect();
        let falling: Vec<f32> = rising.iter().rev().copied().collect();
        let mut banned = rising.clone();
        banned[..2 * BLOCK].fill(f32::NEG_INFINITY);
        let mut jump = falling.clone();
        jump[2 * BLOCK + 3] = 1e30;
        let mut last = vec![f32::NEG_INFINITY; count];
        last[count - 1] = -3.0;
        let nowhere = vec![f32::NEG_INFINITY; count];
        let mut higher: Vec<f64> = jump.iter().map(|x| f64::from(*x)).collect();
        higher[BLOCK + 1] = 1e300;
        at_each_level(|_| {
            check(&higher);
            for row in [&rising, &falling, &banned, &jump, &last, &nowhere] {
                check(row);
                for (at, wrong) in [(5, f32::NAN), (count - 1, f32::NAN), (2 * BLOCK, f32::INFINITY)] {
                    let mut row = row.clone();
                    row[at] = wrong;
                    check(&row);
                    assert!(!run(Highest(&row)).is_usable);
                }
            }
        });
    }
}
