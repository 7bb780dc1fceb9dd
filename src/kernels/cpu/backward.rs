//! The loop over a row that writes its gradient.

use super::exponents::{Exponents, Powers, scaled};
use super::number::{BLOCK, Real};
use super::sums::Border;

/// The gradient of a row: `e^u (c0 + c1 u + c2 u²)` with one polynomial inside a set and another outside.
pub(crate) struct Backward<R> {
    by: Exponents<R>,
    outside: [R; 3],
    inside: Option<([R; 3], Border)>,
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

impl<R: Real> Backward<R> {
    /// The polynomials of a token outside the set, and of one in it with the set.
    pub(crate) fn new(
        highest: f64,
        temperature: f64,
        outside: [f64; 3],
        inside: Option<([f64; 3], Border)>,
    ) -> Self {
        let polynomial = |of| scaled(of).map(R::of);
        Self {
            by: Exponents::new(highest, temperature),
            outside: polynomial(outside),
            inside: inside.map(|(inside, border)| (polynomial(inside), border)),
        }
    }

    /// Writes the gradient of the block whose first token has the index `start` in its row, or adds it to what is there.
    #[inline(always)]
    pub(crate) fn write<const LEVEL: u8>(
        &self,
        start: usize,
        block: &[R; BLOCK],
        gradient: &mut [R],
        adds: bool,
        powers: &mut Powers<R>,
    ) {
        let outside = self.outside;
        let (exponents, powers) = powers.of::<LEVEL>(block, &self.by);
        let length = gradient.len();
        let [exponents, powers, logits] = [exponents, powers, block].map(|numbers| &numbers[..length]);
        let all = Part { exponents, powers, logits, gradient };
        let Some((inside, border)) = self.inside else {
            let one = Polynomials { inside: outside, outside, from: R::NEG_INFINITY };
            one.choose::<LEVEL, false>(all, adds);
            return;
        };
        let cut = border.cut.saturating_sub(start).min(length);
        for (part, from) in all.split_at(cut).into_iter().zip([border.from, border.from_after]) {
            let both = Polynomials { inside, outside, from: R::of(from) };
            both.choose::<LEVEL, true>(part, adds);
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
