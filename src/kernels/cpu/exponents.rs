//! From logits to exponentials: `e^u = 2^t` with `u = (logit - highest of the row) / temperature` and `t = u / ln 2`.

use std::f64::consts::LN_2;

use super::number::{BLOCK, Buffer, Real};

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
    exponents: Buffer<R>,
    values: Buffer<R>,
    /// The powers of a set. Zeroing the others in place would compile to masked stores, which are slow.
    members: Buffer<R>,
}

impl<R: Real> Powers<R> {
    pub(crate) fn new() -> Self {
        Self { exponents: Buffer::new(), values: Buffer::new(), members: Buffer::new() }
    }

    /// `t` of each logit, no lower than where `2^t` is zero, and `2^t`. The second loop needs all registers.
    #[inline(always)]
    pub(crate) fn of<const LEVEL: u8>(
        &mut self,
        block: &[R; BLOCK],
        by: &Exponents<R>,
    ) -> (&[R; BLOCK], &[R; BLOCK]) {
        let (exponents, values) = (&mut self.exponents.0, &mut self.values.0);
        let [high, low] = by.factor;
        for (t, x) in exponents.iter_mut().zip(block) {
            let apart = x.sub(by.highest);
            *t = apart.mul_add::<LEVEL>(high, apart.mul(low)).floored();
        }
        for (value, t) in values.iter_mut().zip(&*exponents) {
            *value = t.exp2::<LEVEL>();
        }
        (exponents, values)
    }

    /// What [`of`](Self::of) just found, with zero as the power of each logit below `from`.
    #[inline(always)]
    pub(crate) fn of_set(&mut self, block: &[R; BLOCK], from: R) -> (&[R; BLOCK], &[R; BLOCK]) {
        for ((member, value), x) in self.members.0.iter_mut().zip(&self.values.0).zip(block) {
            *member = if *x >= from { *value } else { R::default() };
        }
        (&self.exponents.0, &self.members.0)
    }
}
