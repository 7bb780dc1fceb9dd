//! The tokens whose second moment of the log-ratio stays under a threshold.

use crate::plugin::prelude::*;

/// Whether a token is left when the stalest ones are dropped until the rest is fresh enough.
///
/// Formula, over the valid tokens of the step:
///
///     s = (old_log_prob - rollout_log_prob)²
///
/// The tokens with the largest `s` are dropped, one by one, until the mean of `s` over the rest is below
/// `threshold`; one token always stays. Of tokens with equal `s` the later one goes first.
///
/// Result: a loss with it is `token_mean(where(m2po_kept(), clip_ppo(), 0))`.
///
/// Gradient: none. In gradient accumulation the choice is that of the whole step.
///
/// Source: M2PO, arXiv 2510.01161; AReaL `m2_threshold`.
#[term(
    name = "m2po_kept",
    example = "m2po_kept(threshold = 0.04)",
    aliases = [Alias::new("m2po", "AReaL")]
)]
struct M2poKept {
    /// The second moment that the kept tokens stay below, as in the paper.
    #[param(default = 0.04, above = 0)]
    threshold: f64,
}

impl Term for M2poKept {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN.to_bool())
            .input(Input::field("old_log_prob", Type::TOKEN).detached())
            .input(Input::field("rollout_log_prob", Type::TOKEN).detached())
            .reach(Reach::Batch)
            .interval(Interval::UNIT)
            .detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let squares = (ctx.input("old_log_prob") - ctx.input("rollout_log_prob")).square();
        // What does not count is sorted behind everything that does.
        let squares = ctx.mask().where_cond(&squares, &squares.full_like(f64::INFINITY)).flatten(0, -1);
        let [sorted, order] = squares.sort(0, false);
        // The mean of the `n` least grows with `n`, so those that may stay are a beginning of the row.
        let counts = sorted.ones_like().cumsum(0, DType::F64);
        let means = sorted.cumsum(0, DType::F64) / counts;
        let fresh = means.lt(self.threshold).sum_in(DType::I64).i64_at(&[])?;
        let valid = ctx.mask().sum_in(DType::I64).i64_at(&[])?;
        let stay = order.narrow(0, 0, fresh.max(1).min(valid));
        let marks = ctx.mask().zeros_like().flatten(0, -1);
        Ok(marks.index_fill(0, &stay, 1i64).reshape_as(ctx.mask()).into())
    }
}
