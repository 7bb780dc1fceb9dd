//! How likely it is that one of k samples is right.

use crate::plugin::prelude::*;

/// The chance that at least one of `k` samples is right, when they are drawn from those at hand.
///
/// Formula, for `n` samples of which `c` are right:
///
///     1 - C(n - c, k) / C(n, k) = 1 - Π_{j < k} (n - c - j) / (n - j)
///
/// Both numbers are whole. Of fewer samples than `k` all are drawn. With none drawn, or none at hand, it is 0.
///
/// Result: in `0 .. 1`. As a metric `batch_mean(pass_at_k(...))`; `pass_at_k_advantages` makes advantages of it.
///
/// Gradient: none.
///
/// Source: the unbiased estimate of Chen et al., arXiv 2107.03374; Pass@k training, arXiv 2508.10751.
#[term(name = "pass_at_k", example = "pass_at_k(group_sum(rewards > 0), group_sum(1), k = 2)")]
struct PassAtK {
    /// How many samples are drawn.
    #[param(min = 0, max = 1024, help = "`k` is how many samples are drawn from those of a prompt")]
    k: i64,
}

impl Term for PassAtK {
    fn signature() -> Signature {
        Signature::new(Type::SEQ)
            .input(
                Input::required("right", Type::SEQ)
                    .detached()
                    .positional()
                    .docs("How many samples are right; for those of a prompt `group_sum(rewards > 0)`."),
            )
            .input(
                Input::required("samples", Type::SEQ)
                    .detached()
                    .positional()
                    .docs("How many samples there are; for those of a prompt `group_sum(1)`."),
            )
            .interval(Interval::UNIT)
            .unit(Unit::Probability)
            .detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let samples = ctx.input("samples");
        let wrong = samples - ctx.input("right");
        let mut none_right = samples.ones_like();
        for drawn in 0..self.k {
            let (left, wrong) = (samples - drawn as f64, (&wrong - drawn as f64).clamp_min(0.0));
            let share = left.gt(0.5).where_cond(&(wrong / left.clamp_min(1.0)), &left.ones_like());
            none_right = none_right * share;
        }
        Ok((1.0 - none_right).into())
    }
}
