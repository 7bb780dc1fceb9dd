//! How much the surprise of a token varies.

use crate::plugin::prelude::*;

/// The variance of a token's surprise `-log p` under the policy.
///
/// Formula, with `z = logits / temperature` and `p = softmax z`:
///
///     W = Σ_v p[v] (log p[v] + H)² = Σ_v p[v] z[v]² - (Σ_v p[v] z[v])²
///
/// It is 0 for a policy that is certain, and for one that is uniform on some tokens and bans the rest.
///
/// The moments are taken about the highest logit, so that a policy that is nearly certain keeps its digits: with f32 logits expect
/// an error of about `1e-7 · Σ p (z - max z)²`.
///
/// Result: not negative, in squared nats.
///
/// Gradient: `∂W/∂z[v] = p[v] ((z[v] - m)² - W + 2 (z[v] - m))`, with `m = Σ p z`.
///
/// Source: the information variance, Kontoyiannis and Verdú, arXiv 1212.2668; next to the entropy in the sampler
/// `entropix`.
#[term(name = "varentropy", example = "varentropy()")]
struct Varentropy {}

impl Term for Varentropy {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .row(Row::new(TokenSet::All, Statistic::Variance))
            .interval(Interval::NON_NEGATIVE)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok(ctx.row(0).clamp_min(0.0).into())
    }
}
