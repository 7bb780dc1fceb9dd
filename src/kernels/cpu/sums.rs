//! The loops over a row that compute exponentials: forward sums and backward gradient.

use super::dispatch::Job;
use super::number::{BLOCK, Element, LANES, Real};
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

/// `Σ e^u`, `Σ u e^u` and `Σ u² e^u` with `u = (logit - highest of the row) / temperature`.
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
        let mut totals = [[0.0; 3]; 2];
        let mut buffer = [E::Real::default(); BLOCK];
        let highest = E::Real::of(self.highest);
        let scale = E::Real::of(self.temperature.recip());
        let (before, after) = self.row.split_at(cut);
        for (part, from) in [(before, from[0]), (after, from[1])] {
            let from = E::Real::of(from);
            for block in part.chunks(BLOCK) {
                let block = E::widened(block, &mut buffer);
                add_block::<E::Real, LEVEL, SET, SECOND>(block, highest, scale, from, &mut totals);
            }
        }
        totals
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
        let mut totals = [[0.0; 3]; 2];
        let mut buffer = [E::Real::default(); BLOCK];
        let scale = E::Real::of(self.temperature.recip());
        let (mut seen, mut highest) = (Seen::new(), f64::NEG_INFINITY);
        for block in self.row.chunks(BLOCK) {
            let block = E::widened(block, &mut buffer);
            seen.block(block);
            let higher = seen.highest();
            if higher > highest {
                if highest.is_finite() {
                    totals[0] = moved(totals[0], (highest - higher) / self.temperature);
                }
                highest = higher;
            }
            if highest.is_finite() {
                let (to, from) = (E::Real::of(highest), E::Real::NEG_INFINITY);
                add_block::<E::Real, LEVEL, false, SECOND>(block, to, scale, from, &mut totals);
            }
        }
        (seen.extent(), totals[0])
    }
}

/// Sums where each `u` becomes `u + by`, with `by <= 0`.
fn moved([norm, first, second]: Sums, by: f64) -> Sums {
    // Below this `e^by` is zero anyway, and the products stay finite.
    let by = by.max(-1e3);
    [norm, first + by * norm, second + by * (2.0 * first + by * norm)].map(|sum| by.exp() * sum)
}

/// Adds a block's sums to those of a row: in f64, so that the rounding error of a block does not grow with the row.
#[inline(always)]
fn add_block<R: Real, const LEVEL: u8, const SET: bool, const SECOND: bool>(
    block: &[R],
    highest: R,
    scale: R,
    from: R,
    totals: &mut [Sums; 2],
) {
    let mut lanes = [[[R::default(); LANES]; 3]; 2];
    let (whole, rest) = block.as_chunks::<LANES>();
    for chunk in whole {
        add_lanes::<R, LEVEL, SET, SECOND>(chunk, highest, scale, from, &mut lanes);
    }
    if !rest.is_empty() {
        let mut padded = [R::NEG_INFINITY; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        add_lanes::<R, LEVEL, SET, SECOND>(&padded, highest, scale, from, &mut lanes);
    }
    for (total, lanes) in totals.iter_mut().flatten().zip(lanes.iter().flatten()) {
        for lane in lanes {
            *total += lane.wide();
        }
    }
}

#[inline(always)]
fn add_lanes<R: Real, const LEVEL: u8, const SET: bool, const SECOND: bool>(
    chunk: &[R; LANES],
    highest: R,
    scale: R,
    from: R,
    lanes: &mut [[[R; LANES]; 3]; 2],
) {
    for lane in 0..LANES {
        let x = chunk[lane];
        let u = relative(x, highest, scale);
        let e = R::exp::<LEVEL>(u);
        let u = if u > R::LEAST { u } else { R::LEAST };
        lanes[0][0][lane] = lanes[0][0][lane].add(e);
        let first = e.mul(u);
        lanes[0][1][lane] = lanes[0][1][lane].add(first);
        if SECOND {
            lanes[0][2][lane] = first.mul_add::<LEVEL>(u, lanes[0][2][lane]);
        }
        if SET {
            let is_member = x >= from;
            let e = if is_member { e } else { R::default() };
            let first = if is_member { first } else { R::default() };
            lanes[1][0][lane] = lanes[1][0][lane].add(e);
            lanes[1][1][lane] = lanes[1][1][lane].add(first);
            if SECOND {
                lanes[1][2][lane] = first.mul_add::<LEVEL>(u, lanes[1][2][lane]);
            }
        }
    }
}

/// `u` of a logit: its distance from the highest, over the temperature.
#[inline(always)]
pub(crate) fn relative<R: Real>(x: R, highest: R, scale: R) -> R {
    x.sub(highest).mul(scale)
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
        let mut buffer = [E::Real::default(); BLOCK];
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

/// The gradient of a row: `e^u (c0 + c1 u + c2 u²)` with one polynomial inside a set and another outside.
pub(crate) struct Backward<'a, R> {
    pub(crate) highest: f64,
    pub(crate) temperature: f64,
    /// The polynomial of a token outside the set.
    pub(crate) outside: [f64; 3],
    /// The polynomial of a token in the set, and the set.
    pub(crate) inside: Option<([f64; 3], Border)>,
    /// The index of the block's first token in its row.
    pub(crate) start: usize,
    pub(crate) block: &'a [R],
    pub(crate) gradient: &'a mut [R],
    /// Whether to add to the gradient instead of writing it.
    pub(crate) adds: bool,
}

impl<R: Real> Backward<'_, R> {
    #[inline(always)]
    pub(crate) fn write<const LEVEL: u8>(self) {
        let outside = self.outside.map(R::of);
        let Some((inside, border)) = self.inside else {
            let one = Polynomials { inside: outside, outside, from: R::NEG_INFINITY };
            one.choose::<LEVEL, false>(self.highest, self.temperature, self.block, self.gradient, self.adds);
            return;
        };
        let cut = border.cut.saturating_sub(self.start).min(self.block.len());
        let (before, after) = self.block.split_at(cut);
        let (gradient_before, gradient_after) = self.gradient.split_at_mut(cut);
        let inside = inside.map(R::of);
        for (block, gradient, from) in
            [(before, gradient_before, border.from), (after, gradient_after, border.from_after)]
        {
            let both = Polynomials { inside, outside, from: R::of(from) };
            both.choose::<LEVEL, true>(self.highest, self.temperature, block, gradient, self.adds);
        }
    }
}

struct Polynomials<R> {
    inside: [R; 3],
    outside: [R; 3],
    from: R,
}

impl<R: Real> Polynomials<R> {
    #[inline(always)]
    fn choose<const LEVEL: u8, const SET: bool>(
        &self,
        highest: f64,
        temperature: f64,
        block: &[R],
        gradient: &mut [R],
        adds: bool,
    ) {
        let second = self.inside[2].wide().abs() > 0.0 || self.outside[2].wide().abs() > 0.0;
        let (highest, scale) = (R::of(highest), R::of(temperature.recip()));
        match (second, adds) {
            (false, false) => self.fill::<LEVEL, SET, false, false>(highest, scale, block, gradient),
            (false, true) => self.fill::<LEVEL, SET, false, true>(highest, scale, block, gradient),
            (true, false) => self.fill::<LEVEL, SET, true, false>(highest, scale, block, gradient),
            (true, true) => self.fill::<LEVEL, SET, true, true>(highest, scale, block, gradient),
        }
    }

    #[inline(always)]
    fn fill<const LEVEL: u8, const SET: bool, const SECOND: bool, const ADDS: bool>(
        &self,
        highest: R,
        scale: R,
        block: &[R],
        gradient: &mut [R],
    ) {
        for (x, gradient) in block.iter().zip(gradient) {
            let u = relative(*x, highest, scale);
            let e = R::exp::<LEVEL>(u);
            let u = if u > R::LEAST { u } else { R::LEAST };
            let is_member = SET && *x >= self.from;
            let pick = |degree: usize| if is_member { self.inside[degree] } else { self.outside[degree] };
            let slope = if SECOND { pick(2).mul_add::<LEVEL>(u, pick(1)) } else { pick(1) };
            let factor = slope.mul_add::<LEVEL>(u, pick(0));
            *gradient = if ADDS { e.mul_add::<LEVEL>(factor, *gradient) } else { e.mul(factor) };
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
