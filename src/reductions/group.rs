//! Sums and maxima over samples of one group, on any device and with gradient.

use crate::plugin::prelude::*;
use tch::Kind as Float;

/// Which group each sequence is in, as an input.
pub(super) const GROUP: Input = Input::field("group", Type::SEQ)
    .detached()
    .docs("Whole numbers in any order: which prompt a sample answers.");

/// Which group each sequence is in, and how many sequences with a valid token each group has.
pub(super) struct Groups {
    index: Tensor,
    number: i64,
    valid: Tensor,
    sizes: Tensor,
}

impl Groups {
    /// The groups of the batch field `group`, `[B]` whole numbers.
    pub(super) fn of(ctx: &TermContext<'_>, kind: Float) -> Self {
        let (ids, index, _) = ctx.input("group").to_kind(Float::Int64).unique_dim(0, true, true, false);
        let valid = ctx.valid_sequences().to_kind(kind);
        let number = ids.size()[0];
        let sizes = valid.new_zeros([number], (kind, valid.device())).index_add(0, &index, &valid);
        Self { index, number, valid, sizes }
    }

    /// Per sequence: the sum of `x` over its group, counting sequences with a valid token.
    pub(super) fn sum(&self, x: &Tensor) -> Tensor {
        let sums = x.new_zeros([self.number], (x.kind(), x.device()));
        sums.index_add(0, &self.index, &self.at_valid(x)).index_select(0, &self.index)
    }

    /// Per sequence: the mean of `x` over its group.
    pub(super) fn mean(&self, x: &Tensor) -> Tensor {
        self.sum(x) / self.sizes().clamp_min(1.0)
    }

    /// Per sequence: the greatest `x` of its group among sequences with a valid token.
    pub(super) fn max(&self, x: &Tensor) -> Tensor {
        // A row for each group: torch's own maximum by index calls itself a beta on every user's screen.
        let group = Tensor::arange(self.number, (Float::Int64, x.device())).unsqueeze(1);
        let counted = self.index.eq_tensor(&group).logical_and(&self.valid.gt(0.0));
        let members = x.unsqueeze(0).where_self(&counted, &x.full_like(f64::NEG_INFINITY));
        members.amax([1i64].as_slice(), false).index_select(0, &self.index)
    }

    /// Per sequence: how many sequences of its group have a valid token.
    pub(super) fn sizes(&self) -> Tensor {
        self.sizes.index_select(0, &self.index)
    }

    /// `x` with zeros at sequences without a valid token.
    pub(super) fn at_valid(&self, x: &Tensor) -> Tensor {
        x.where_self(&self.valid.gt(0.0), &x.new_zeros([0i64; 0], (x.kind(), x.device())))
    }
}
