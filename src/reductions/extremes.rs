//! The greatest and the least of the values that count, on any device and with gradient.

use crate::plugin::prelude::*;

/// Which end of the values is wanted.
#[derive(Clone, Copy)]
pub(super) enum End {
    Greatest,
    Least,
}

impl End {
    /// Per sequence: that end of `x`, `[B, T]`, over the valid tokens, 0 where there are none.
    pub(super) fn of_sequences(self, x: &Tensor, ctx: &TermContext<'_>) -> Tensor {
        if x.length(1) == 0 {
            return x.sum_dim(1, false, x.dtype());
        }
        let counted = self.counted(x, ctx);
        let found = match self {
            End::Greatest => counted.amax(1, false),
            End::Least => counted.amin(1, false),
        };
        ctx.valid_sequences().where_cond(&found, &found.zeros_like())
    }

    /// That end of `x`, `[B, T]`, over all valid tokens, 0 if there are none.
    pub(super) fn of_tokens(self, x: &Tensor, ctx: &TermContext<'_>) -> Tensor {
        if x.size().contains(&0) {
            return x.sum();
        }
        let counted = self.counted(x, ctx);
        let found = match self {
            End::Greatest => counted.max(),
            End::Least => counted.min(),
        };
        ctx.mask().any().where_cond(&found, &found.zeros_like())
    }

    /// `x` with a number at masked positions that every other one beats.
    fn counted(self, x: &Tensor, ctx: &TermContext<'_>) -> Tensor {
        let beaten = match self {
            End::Greatest => f64::NEG_INFINITY,
            End::Least => f64::INFINITY,
        };
        ctx.mask().where_cond(x, &x.full_like(beaten))
    }
}
