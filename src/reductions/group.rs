//! Sums and maxima over samples of one group, on any device and with gradient.

use crate::plugin::prelude::*;

/// Which group each sequence is in, as an input.
pub(super) const GROUP: Input = Input::field("group", Type::SEQ.to_int())
    .detached()
    .docs("Ids in any order: which prompt a sample answers, or which rollout a sequence is of.");

/// Which group each sequence is in, and how many sequences with a valid token each group has.
pub(super) struct Groups {
    index: Tensor,
    number: i64,
    valid: Tensor,
    sizes: Tensor,
}

impl Groups {
    /// The groups of the batch field `group`, `[B]` whole numbers.
    pub(super) fn of(ctx: &TermContext<'_>, dtype: DType) -> Result<Self, EvalError> {
        let (index, number) = ctx.input("group").unique()?;
        let valid = ctx.valid_sequences().to_dtype(dtype);
        let sizes = valid.zeros(&[number], dtype).index_add(0, &index, &valid);
        Ok(Self { index, number, valid, sizes })
    }

    /// Per sequence: the sum of `x` over its group, counting sequences with a valid token.
    pub(super) fn sum(&self, x: &Tensor) -> Tensor {
        let sums = x.zeros(&[self.number], x.dtype());
        sums.index_add(0, &self.index, &self.at_valid(x)).index_select(0, &self.index)
    }

    /// Per sequence: the mean of `x` over its group.
    pub(super) fn mean(&self, x: &Tensor) -> Tensor {
        self.sum(x) / self.sizes().clamp_min(1.0)
    }

    /// Per sequence: the greatest `x` of its group among sequences with a valid token.
    pub(super) fn max(&self, x: &Tensor) -> Tensor {
        // Nothing has no greatest.
        if self.number == 0 {
            return x.clone();
        }
        // A row for each group: torch's own maximum by index calls itself a beta on every user's screen.
        let group = x.arange(self.number).unsqueeze(1);
        let counted = self.index.eq(&group).logical_and(&self.valid.gt(0.0));
        let members = counted.where_cond(&x.unsqueeze(0), &x.full_like(f64::NEG_INFINITY));
        members.amax(1, false).index_select(0, &self.index)
    }

    /// Per sequence: how many sequences of its group have a valid token.
    pub(super) fn sizes(&self) -> Tensor {
        self.sizes.index_select(0, &self.index)
    }

    /// `x` with zeros at sequences without a valid token.
    pub(super) fn at_valid(&self, x: &Tensor) -> Tensor {
        self.valid.gt(0.0).where_cond(x, &x.zeros(&[], x.dtype()))
    }
}
