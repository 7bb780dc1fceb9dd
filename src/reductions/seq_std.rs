//! The standard deviation over the valid tokens of each sequence.

use super::deviation::deviation;
use super::extremes::End;
use crate::plugin::prelude::*;

/// The unbiased standard deviation over the valid tokens of each sequence: token to seq.
///
/// Formula, with the mask `m` and the length `n_i = Σ_t m_it`:
///
///     seq_std(x)_i = sqrt(Σ_t m_it (x_it - seq_mean(x)_i)² / (n_i - 1))
///
/// A sequence of one valid token has 0, as has one of equal values and one without a valid token: add a small number
/// before dividing. It divides by `n - 1`, as `group_std` and `torch.std` do.
///
/// Gradient: `m_it (x_it - mean) / ((n - 1) std)`, and 0 where the deviation is 0.
///
/// Source: `torch.std`; the spread of a sequence's log-ratios or entropies, as a metric or to whiten within a sequence.
#[reduction(name = "seq_std", example = "seq_std(log_prob)")]
struct SeqStd {}

impl Reduction for SeqStd {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SEQ).reach(Reach::Sequence).not_a_mean()
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        // Distances from one of the values: those of equal values are 0 exactly, and so are their mean and deviation.
        let one = End::Greatest.of_sequences(&x.detach(), ctx).unsqueeze(1);
        let x = x - one;
        let squares = ctx.seq_sum(&(&x - ctx.seq_mean(&x).unsqueeze(1)).square());
        Ok(deviation(&squares, ctx.lengths()))
    }
}
