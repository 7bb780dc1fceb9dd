//! The sum over all valid tokens of a step.

use crate::plugin::prelude::*;

/// The sum over all valid tokens of the step: token to scalar.
///
/// Formula, with the mask `m`:
///
///     token_sum(x) = Σ_it m_it x_it
///
/// It grows with the batch: as a loss it makes the learning rate depend on the batch size, and the checker warns.
///
/// Gradient: `m_it`.
///
/// Source: verl `token-sum`.
#[reduction(name = "token_sum", example = "token_sum(log_prob)")]
struct TokenSum {}

impl Reduction for TokenSum {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR).extensive()
    }

    fn reduce(&self, x: &Tensor, _: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.sum())
    }
}
