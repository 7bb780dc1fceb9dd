//! The mean over all valid tokens of a step.

use crate::plugin::prelude::*;

/// The mean over all valid tokens of the step: token to scalar.
///
/// Formula, with the mask `m`:
///
///     token_mean(x) = Σ_it m_it x_it / Σ_it m_it
///
/// The denominator is that of the whole step, so micro-batches add up. Without a valid token it is 0.
///
/// Gradient: `m_it / N`, with `N` the valid tokens of the step.
///
/// Source: DAPO, arXiv 2503.14476; verl and ROLL `token-mean`, TRL `dapo` (and `bnpo`, which counts per
/// micro-batch), OpenRLHF `token_level_loss=True`, NeMo-RL `token_level_loss: true`, SkyRL `token_mean`,
/// AReaL's only mode.
#[reduction(name = "token_mean", example = "token_mean(entropy())")]
struct TokenMean {}

impl Reduction for TokenMean {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR).reads(Count::Tokens)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.sum() / ctx.step_tokens())
    }
}
