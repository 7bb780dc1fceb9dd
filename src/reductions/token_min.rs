//! The least value of a step.

use super::extremes::End;
use crate::plugin::prelude::*;

/// The least value among the valid tokens of the step: token to scalar.
///
/// Formula, with the mask `m`:
///
///     token_min(x) = min_{i,t: m_it = 1} x_it
///
/// Without a valid token it is 0.
///
/// Gradient: 1 at the least, in equal shares where several are, as torch's `amin` has it. In gradient accumulation it
/// needs the whole step at once.
///
/// Source: verl's metric `critic/advantages/min`.
#[reduction(name = "token_min", example = "token_min(log_prob)")]
struct TokenMin {}

impl Reduction for TokenMin {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR).whole_step()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(End::Least.of_tokens(x, ctx))
    }
}
