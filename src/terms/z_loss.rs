//! A pull of the logits' normaliser to one.

use crate::plugin::prelude::*;

crate::term! {
    /// The squared logarithm of the softmax's normaliser, which keeps logits from drifting; to be minimised.
    ///
    /// Formula, with `z = logits / temperature`:
    ///
    ///     L = (log Σ_v exp z[v])²
    ///
    /// Adding a number to all logits of a row changes nothing but this.
    ///
    /// Result: token, not negative. Weights are small: `1e-4 * token_mean(z_loss())`.
    ///
    /// Gradient: `∂L/∂z[v] = 2 p[v] log Σ_u exp z[u]`, with `p = softmax z`.
    ///
    /// Source: PaLM, arXiv 2204.02311 (weight 1e-4); Liger cross-entropy `lse_square_scale`.
    ///
    /// Aliases: `lse_square_scale` (Liger, as its weight).
    "z_loss" => ZLoss, example = "z_loss()"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZLoss {}

impl Term for ZLoss {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN).interval(Interval::NON_NEGATIVE)
    }

    fn rows(&self) -> Vec<Row> {
        vec![Row::new(TokenSet::All, Moment::LogSumExp)]
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).square().into())
    }
}
