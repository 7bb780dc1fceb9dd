//! How likely it is that one of k samples is right.

use crate::plugin::prelude::*;

crate::term! {
    /// The chance that at least one of `k` samples is right, when they are drawn from those at hand.
    ///
    /// Formula, for `n` samples of which `c` are right:
    ///
    ///     1 - C(n - c, k) / C(n, k) = 1 - Π_{j < k} (n - c - j) / (n - j)
    ///
    /// Of fewer samples than `k` all are drawn. None drawn, or none at hand, are not right: 0.
    ///
    /// Inputs: `right` and `samples`, both seq, whole numbers; both are constants for the gradient. For the samples of a
    /// prompt they are `group_sum(rewards > 0)` and `group_sum(1)`.
    ///
    /// - `k`, in `0 .. 1024`: how many are drawn
    ///
    /// Result: seq, in `0 .. 1`. As a metric `batch_mean(pass_at_k(...))`; `pass_at_k_advantages` makes advantages of it.
    ///
    /// Gradient: none.
    ///
    /// Errors: a `k` outside of what is said above.
    ///
    /// Source: the unbiased estimate of Chen et al., arXiv 2107.03374; Pass@k training, arXiv 2508.10751.
    "pass_at_k" => PassAtK, example = "pass_at_k(group_sum(rewards > 0), group_sum(1), k = 2)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PassAtK {
    k: i64,
}

impl Term for PassAtK {
    fn signature(&self) -> Signature {
        Signature::new(Type::SEQ)
            .input(Input::required("right", Type::SEQ).detached().positional())
            .input(Input::required("samples", Type::SEQ).detached().positional())
            .interval(Interval::UNIT)
            .unit(Unit::Probability)
            .detached()
    }

    fn check(&self) -> Result<(), ArgError> {
        if (0..=1024).contains(&self.k) {
            return Ok(());
        }
        Err(ArgError::new("k", format!("expected `k` in 0 .. 1024, found {}", self.k))
            .help("`k` is how many samples are drawn from those of a prompt"))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let samples = ctx.input("samples");
        let wrong = samples - ctx.input("right");
        let mut none_right = samples.ones_like();
        for drawn in 0..self.k {
            let (left, wrong) = (samples - drawn as f64, (&wrong - drawn as f64).clamp_min(0.0));
            let share = (wrong / left.clamp_min(1.0)).where_self(&left.gt(0.5), &left.ones_like());
            none_right *= share;
        }
        let some_right: Tensor = 1.0 - none_right;
        Ok(some_right.into())
    }
}
