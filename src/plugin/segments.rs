//! The segments of sequences: the turns or steps that a `token int` tells apart.

use super::{EvalError, TermContext};
use crate::tensor::{DType, Tensor};

/// The segments of each sequence: its valid tokens with equal ids, next to one another or not.
pub struct Segments<'a> {
    ctx: &'a TermContext<'a>,
    /// `[B · T]`: which segment a token is in; a token that does not count may be in one that has no other.
    index: Tensor,
    number: i64,
}

impl<'a> Segments<'a> {
    pub(super) fn of(ctx: &'a TermContext<'a>, ids: &Tensor) -> Result<Self, EvalError> {
        let (ids, distinct) = ids.flatten(0, -1).unique()?;
        let mask = ctx.mask();
        let rows = mask.arange(mask.length(0)).unsqueeze(1).expand(&mask.size()).flatten(0, -1);
        // Whole numbers throughout: as a float of 32 bits a large id would be another.
        let (index, number) = (rows * mask.full(&[], distinct, DType::I64) + ids).unique()?;
        Ok(Self { ctx, index, number })
    }

    /// Per token: the sum of `x` over the valid tokens of its segment; 0 at masked positions.
    pub fn sum(&self, x: &Tensor) -> Tensor {
        self.at_tokens(&self.sums(&self.ctx.masked(x)))
    }

    /// Per token: how many valid tokens its segment has, at least one.
    pub fn sizes(&self, dtype: DType) -> Tensor {
        self.sum(&self.ctx.mask().to_dtype(dtype)).clamp_min(1.0)
    }

    /// Per token: the greatest `x` among the valid tokens of its segment; 0 at masked positions.
    pub fn max(&self, x: &Tensor) -> Tensor {
        if self.number == 0 {
            return x.clone();
        }
        // The valid tokens by segment, each segment from its greatest value to its least.
        let values = x.detach().flatten(0, -1);
        let [_, by_value] = values.sort(0, true);
        let [_, by_segment] = self.keys().index_select(0, &by_value).sort(0, false);
        let order = by_value.index_select(0, &by_segment);
        let sizes = self.sums(&self.ctx.mask().to_dtype(DType::I64));
        let starts = sizes.cumsum(0, DType::I64) - sizes;
        let greatest = self.at_tokens(&values.index_select(0, &order.index_select(0, &starts)));
        // Values that tie share the gradient.
        let ties = x.eq(&greatest).logical_and(self.ctx.mask());
        let shares = self.sum(&ties.to_dtype(x.dtype())).clamp_min(1.0);
        let shared = self.sum(&ties.where_cond(&(x / &shares), &x.zeros(&[], x.dtype())));
        // Shares of what ties add up to it but for rounding.
        let rest = shared.eq(&greatest).where_cond(&x.zeros(&[], x.dtype()), &(&greatest - &shared)).detach();
        shared + rest
    }

    /// Per token: whether it is the first valid one of its segment.
    pub fn first(&self) -> Tensor {
        let mask = self.ctx.mask();
        if self.number == 0 {
            return mask.clone();
        }
        let [sorted, order] = self.keys().sort(0, false);
        let count = sorted.length(0);
        let before = Tensor::cat(&[sorted.full(&[1], -1i64, DType::I64), sorted.narrow(0, 0, count - 1)], 0);
        let begins = sorted.ne(&before).to_dtype(DType::U8);
        let begins = begins.zeros(&[count], DType::U8).index_copy(0, &order, &begins);
        begins.reshape(&mask.size()).gt(0.0).logical_and(mask)
    }

    /// `[B · T]`: the segment of each valid token; behind all of them, the others.
    fn keys(&self) -> Tensor {
        self.ctx.mask().flatten(0, -1).where_cond(&self.index, &self.index.full_like(self.number))
    }

    /// Per segment: the sum of `x`.
    fn sums(&self, x: &Tensor) -> Tensor {
        x.zeros(&[self.number], x.dtype()).index_add(0, &self.index, &x.flatten(0, -1))
    }

    /// Per token: the value of its segment; 0 at masked positions.
    fn at_tokens(&self, of_segments: &Tensor) -> Tensor {
        let values = of_segments.index_select(0, &self.index).reshape(&self.ctx.mask().size());
        self.ctx.masked(&values)
    }
}
