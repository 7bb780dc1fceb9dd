//! How much the surprise of a token varies.

use crate::plugin::prelude::*;

crate::term! {
    /// The variance of a token's surprise under the policy: how far the policy is from choosing among equals.
    ///
    /// Formula, with `z = logits / temperature` and `p = softmax z`:
    ///
    ///     W = Σ_v p[v] (log p[v] + H)² = Σ_v p[v] z[v]² - (Σ_v p[v] z[v])²
    ///
    /// It is 0 for a policy that is certain, and for one that is uniform on some tokens and bans the rest.
    ///
    /// The difference of the two moments is taken in the kind of the computation: in f32 expect an error of about
    /// `1e-7 · Σ p z²`, which matters where logits are large and alike.
    ///
    /// Result: token, not negative, in squared nats.
    ///
    /// Gradient: `∂W/∂z[v] = p[v] ((z[v] - m)² - W + 2 (z[v] - m))`, with `m = Σ p z`.
    ///
    /// Source: the information variance, Kontoyiannis and Verdú, arXiv 1212.2668; next to the entropy in the sampler
    /// `entropix`.
    "varentropy" => Varentropy, example = "varentropy()"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Varentropy {}

impl Term for Varentropy {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN).interval(Interval::NON_NEGATIVE)
    }

    fn rows(&self) -> Vec<Row> {
        vec![Row::new(TokenSet::All, Moment::SecondMoment), Row::new(TokenSet::All, Moment::Mean)]
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Ok((ctx.row(0) - ctx.row(1).square()).clamp_min(0.0).into())
    }
}
