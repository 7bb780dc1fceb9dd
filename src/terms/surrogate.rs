//! What surrogates share: their inputs, the ratio of two policies, and the dual clip.

use crate::plugin::prelude::*;

/// What a surrogate reads: the policy's and the old policy's log-probabilities, and the advantages.
pub(super) fn surrogate(result: Type) -> Signature {
    Signature::new(result)
        .input(Input::field("log_prob", Type::TOKEN))
        .input(Input::field("old_log_prob", Type::TOKEN).detached())
        .input(Input::field("advantages", Type::TOKEN).detached())
        .minimised()
}

/// `log_prob - old_log_prob`, with gradient for the first alone.
pub(super) fn log_ratio(ctx: &TermContext<'_>) -> Tensor {
    ctx.input("log_prob") - ctx.input("old_log_prob")
}

/// The ratio of the policies at each token, its logarithm clamped to `±guard`.
pub(super) fn ratio(ctx: &TermContext<'_>, guard: f64) -> Tensor {
    log_ratio(ctx).clamp(-guard, guard).exp()
}

/// A value per sequence at each of its valid tokens, zero elsewhere; nothing flows back from there.
pub(super) fn on_tokens(ctx: &TermContext<'_>, x: &Tensor) -> Tensor {
    ctx.masked(&x.unsqueeze(1).expand(&ctx.mask().size()))
}

/// A loss that is at most `-dual · A` where `A < 0`; `gain` is `-A`.
pub(super) fn dual_clip(loss: &Tensor, gain: &Tensor, dual: Option<f64>) -> Tensor {
    match dual {
        Some(dual) => dual_binds(loss, gain, Some(dual)).where_cond(&(gain * dual), loss),
        None => loss.clone(),
    }
}

/// Where that binds.
pub(super) fn dual_binds(loss: &Tensor, gain: &Tensor, dual: Option<f64>) -> Tensor {
    match dual {
        Some(dual) => gain.gt(0.0).logical_and(&loss.gt(&(gain * dual))),
        None => gain.full(&gain.size(), 0i64, DType::Bool),
    }
}
