//! From logits to exponentials: `e^u = 2^t` with `u = (logit - highest of the row) / temperature` and `t = u / ln 2`.

use std::f64::consts::LN_2;

use super::number::{BLOCK, Real};

/// The sums of `u` from those of `t`, or the polynomial in `t` from that in `u`.
pub(crate) fn scaled([constant, first, second]: [f64; 3]) -> [f64; 3] {
    [constant, first * LN_2, second * LN_2 * LN_2]
}

/// The step from logits to `t`.
#[derive(Clone, Copy)]
pub(crate) struct Exponents<R> {
    highest: R,
    factor: [R; 2],
}

impl<R: Real> Exponents<R> {
    pub(crate) fn new(highest: f64, temperature: f64) -> Self {
        Self { highest: R::of(highest), factor: R::in_two_parts((temperature * LN_2).recip()) }
    }
}

/// The exponents and exponentials of a block.
pub(crate) struct Powers<R: Real> {
    exponents: [R; BLOCK],
    /// First the remainders of the exponents, then the powers.
    values: [R; BLOCK],
    wholes: [R::Bits; BLOCK],
}

impl<R: Real> Powers<R> {
    pub(crate) fn new() -> Self {
        let zeros = [R::default(); BLOCK];
        Self { exponents: zeros, values: zeros, wholes: [R::Bits::default(); BLOCK] }
    }

    /// `t` of each logit, no lower than where `2^t` is zero, and `2^t`. There are two loops because the numbers of both do not
    /// fit into the registers.
    #[inline(always)]
    pub(crate) fn of<const LEVEL: u8>(&mut self, block: &[R], by: &Exponents<R>) -> (&[R], &[R]) {
        let exponents = &mut self.exponents[..block.len()];
        let values = &mut self.values[..block.len()];
        let wholes = &mut self.wholes[..block.len()];
        let [high, low] = by.factor;
        for (((t, remainder), whole), x) in
            exponents.iter_mut().zip(values.iter_mut()).zip(wholes.iter_mut()).zip(block)
        {
            let apart = x.sub(by.highest);
            *t = apart.mul_add::<LEVEL>(high, apart.mul(low)).floored();
            (*remainder, *whole) = t.split();
        }
        for (value, whole) in values.iter_mut().zip(wholes) {
            *value = R::power::<LEVEL>(*value, *whole);
        }
        (exponents, values)
    }
}
