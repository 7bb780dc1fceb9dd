//! The loop over a row that writes its gradient.

use super::exponents::{Exponents, Powers, scaled};
use super::number::{BLOCK, Real};
use super::sums::Border;

/// The gradient of a row: `e^u (c0 + c1 u + c2 u²)` with one polynomial inside a set and another outside.
pub(crate) struct Backward<'a, R: Real> {
    pub(crate) highest: f64,
    pub(crate) temperature: f64,
    /// The polynomial of a token outside the set.
    pub(crate) outside: [f64; 3],
    /// The polynomial of a token in the set, and the set.
    pub(crate) inside: Option<([f64; 3], Border)>,
    /// The index of the block's first token in its row.
    pub(crate) start: usize,
    pub(crate) block: &'a [R; BLOCK],
    pub(crate) gradient: &'a mut [R],
    pub(crate) powers: &'a mut Powers<R>,
    /// Whether to add to the gradient instead of writing it.
    pub(crate) adds: bool,
}

/// The tokens of a block that have one border.
struct Part<'a, R> {
    exponents: &'a [R],
    powers: &'a [R],
    logits: &'a [R],
    gradient: &'a mut [R],
}

impl<R> Part<'_, R> {
    fn split_at(self, cut: usize) -> [Self; 2] {
        let (exponents, exponents_after) = self.exponents.split_at(cut);
        let (powers, powers_after) = self.powers.split_at(cut);
        let (logits, logits_after) = self.logits.split_at(cut);
        let (gradient, gradient_after) = self.gradient.split_at_mut(cut);
        [
            Self { exponents, powers, logits, gradient },
            Self {
                exponents: exponents_after,
                powers: powers_after,
                logits: logits_after,
                gradient: gradient_after,
            },
        ]
    }
}

impl<R: Real> Backward<'_, R> {
    #[inline(always)]
    pub(crate) fn write<const LEVEL: u8>(self) {
        let polynomial = |of| scaled(of).map(R::of);
        let outside = polynomial(self.outside);
        let by = Exponents::new(self.highest, self.temperature);
        let (exponents, powers) = self.powers.of::<LEVEL>(self.block, &by);
        let length = self.gradient.len();
        let [exponents, powers, logits] = [exponents, powers, self.block].map(|numbers| &numbers[..length]);
        let all = Part { exponents, powers, logits, gradient: self.gradient };
        let Some((inside, border)) = self.inside else {
            let one = Polynomials { inside: outside, outside, from: R::NEG_INFINITY };
            one.choose::<LEVEL, false>(all, self.adds);
            return;
        };
        let cut = border.cut.saturating_sub(self.start).min(length);
        let inside = polynomial(inside);
        for (part, from) in all.split_at(cut).into_iter().zip([border.from, border.from_after]) {
            let both = Polynomials { inside, outside, from: R::of(from) };
            both.choose::<LEVEL, true>(part, self.adds);
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
    fn choose<const LEVEL: u8, const SET: bool>(&self, part: Part<'_, R>, adds: bool) {
        let second = self.inside[2].wide().abs() > 0.0 || self.outside[2].wide().abs() > 0.0;
        match (second, adds) {
            (false, false) => self.fill::<LEVEL, SET, false, false>(part),
            (false, true) => self.fill::<LEVEL, SET, false, true>(part),
            (true, false) => self.fill::<LEVEL, SET, true, false>(part),
            (true, true) => self.fill::<LEVEL, SET, true, true>(part),
        }
    }

    #[inline(always)]
    fn fill<const LEVEL: u8, const SET: bool, const SECOND: bool, const ADDS: bool>(
        &self,
        part: Part<'_, R>,
    ) {
        let Part { exponents, powers, logits, gradient } = part;
        for (((t, e), x), gradient) in exponents.iter().zip(powers).zip(logits).zip(gradient) {
            let is_member = SET && *x >= self.from;
            let pick = |degree: usize| if is_member { self.inside[degree] } else { self.outside[degree] };
            let slope = if SECOND { pick(2).mul_add::<LEVEL>(*t, pick(1)) } else { pick(1) };
            let factor = slope.mul_add::<LEVEL>(*t, pick(0));
            *gradient = if ADDS { e.mul_add::<LEVEL>(factor, *gradient) } else { e.mul(factor) };
        }
    }
}
