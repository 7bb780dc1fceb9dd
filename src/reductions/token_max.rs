//! The greatest value of a step.

use super::extremes::End;
use crate::plugin::prelude::*;

/// The greatest value among the valid tokens of the step: token to scalar.
///
/// Formula, with the mask `m`:
///
///     token_max(x) = max_{i,t: m_it = 1} x_it
///
/// Without a valid token it is 0.
///
/// Gradient: 1 at the greatest, in equal shares where several are, as torch's `amax` has it. In gradient accumulation it
/// needs the whole step at once.
///
/// Source: verl's metric `critic/advantages/max`.
#[reduction(name = "token_max", example = "token_max(log_prob)")]
struct TokenMax {}

impl Reduction for TokenMax {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR).whole_step()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(End::Greatest.of_tokens(x, ctx))
    }
}
