//! Values that follow from those behind them in a sequence, as returns do.

use crate::plugin::prelude::*;

/// Tokens of each sequence as a chain, in which the others are passed over.
pub(super) struct Chain<'a> {
    ctx: &'a TermContext<'a>,
    /// `[B, T]`: which tokens are links, if not all that count.
    links: Option<Tensor>,
    /// `[B, T]`: 1 at links.
    pub(super) valid: Tensor,
    /// `[B, T]`: 1 elsewhere.
    skipped: Tensor,
}

impl<'a> Chain<'a> {
    /// The chains of the context's mask, as numbers of a kind.
    pub(super) fn of(ctx: &'a TermContext<'a>, dtype: DType) -> Self {
        let valid = ctx.mask().to_dtype(dtype);
        let skipped = 1.0 - &valid;
        Self { ctx, links: None, valid, skipped }
    }

    /// The chains of some of the tokens that count, `[B, T]` bool.
    pub(super) fn along(ctx: &'a TermContext<'a>, links: &Tensor, dtype: DType) -> Self {
        let valid = links.to_dtype(dtype);
        let skipped = 1.0 - &valid;
        Self { ctx, links: Some(links.clone()), valid, skipped }
    }

    /// `x_t = addend_t + factor_t · x` of the next link, with 0 behind the last. Zeros where no link is, from which nothing
    /// flows back.
    pub(super) fn follow(&self, addend: &Tensor, factor: &Tensor) -> Tensor {
        // What follows a link is carried over what is between.
        let factor = self.linked(factor) + &self.skipped;
        self.linked(&backward(&self.linked(addend), &factor))
    }

    /// The value of the next link, 0 behind the last.
    pub(super) fn next(&self, x: &Tensor) -> Tensor {
        behind(&backward(&self.linked(x), &self.skipped), 1)
    }

    /// The inputs `token_rewards`, and `rewards` besides at the last link.
    pub(super) fn rewards(&self) -> Tensor {
        self.ctx.input("token_rewards") + self.last() * self.ctx.input("rewards").unsqueeze(1)
    }

    /// `[B, T]`: 1 at the last link of each sequence.
    pub(super) fn last(&self) -> Tensor {
        let dtype = self.valid.dtype();
        let left = self.valid.sum_dim(1, true, dtype) - self.valid.cumsum(1, dtype);
        &self.valid * left.lt(0.5).to_dtype(dtype)
    }

    /// `x` with zeros where no link is, even in place of NaN.
    fn linked(&self, x: &Tensor) -> Tensor {
        match &self.links {
            None => self.ctx.masked(x),
            Some(links) => links.where_cond(x, &x.zeros(&[], x.dtype())),
        }
    }
}

/// `x_t = addend_t + factor_t · x_{t+1}`, with 0 behind the last column.
///
/// Two steps of the rule are one step of the same sort, `x_t = (a_t + f_t a_{t+1}) + f_t f_{t+1} x_{t+2}`. So a row of
/// T columns takes log2 T passes over the tensor instead of T over a column.
fn backward(addend: &Tensor, factor: &Tensor) -> Tensor {
    let width = addend.length(1);
    let (mut sum, mut factor) = (addend.clone(), factor.clone());
    let mut reach = 1;
    while reach < width {
        sum = &sum + &factor * behind(&sum, reach);
        factor = &factor * behind(&factor, reach);
        reach *= 2;
    }
    sum
}

/// The values `steps` columns behind, with 0 behind the last column.
fn behind(x: &Tensor, steps: i64) -> Tensor {
    let left = (x.length(1) - steps).max(0);
    x.narrow(1, x.length(1) - left, left).pad(0, x.length(1) - left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Libtorch;

    #[test]
    fn a_row_follows_its_rule_from_the_last_column_on() {
        for width in 1..=9 {
            let number = |at: i64| (at as f64).sin();
            let addend: Vec<f64> = (0..width).map(number).collect();
            let factor: Vec<f64> = (0..width).map(|at| number(at + 40)).collect();
            let row = |numbers: &[f64]| Tensor::from_slice(&Libtorch, numbers, &[1, width]);
            let found = backward(&row(&addend), &row(&factor));
            let mut expected = 0.0;
            for at in (0..width as usize).rev() {
                expected = addend[at] + factor[at] * expected;
                let found = found.f64_at(&[0, at as i64]).unwrap();
                assert!((found - expected).abs() < 1e-14, "{width}, {at}: {found} or {expected}");
            }
        }
    }
}
