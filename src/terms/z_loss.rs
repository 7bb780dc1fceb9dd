//! A pull of the logits' normaliser to one.

use crate::plugin::prelude::*;

/// The squared logarithm of the softmax's normaliser, which keeps logits from drifting; to be minimised.
///
/// Formula, with `z = logits / temperature`:
///
///     L = (log Σ_v exp z[v])²
///
/// Adding a number to all logits of a row changes nothing but this.
///
/// Result: not negative. Weights are small: `1e-4 * token_mean(z_loss())`.
///
/// Gradient: `∂L/∂z[v] = 2 p[v] log Σ_u exp z[u]`, with `p = softmax z`.
///
/// Source: PaLM, arXiv 2204.02311 (weight 1e-4); Liger cross-entropy `lse_square_scale`.
#[term(
    name = "z_loss",
    example = "z_loss()",
    aliases = [Alias::new("lse_square_scale", "Liger").remark("as its weight")]
)]
struct ZLoss {}

impl Term for ZLoss {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .minimised()
            .row(Row::new(TokenSet::All, Statistic::LogSumExp))
            .interval(Interval::NON_NEGATIVE)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).square().into())
    }
}
