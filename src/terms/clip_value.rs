//! The clipped value loss of PPO.

use crate::plugin::prelude::*;

/// The clipped squared error of a value function, to be minimised.
///
/// Formula:
///
///     c = clamp(values, old_values - clip, old_values + clip)
///     L = 0.5 · max((values - returns)², (c - returns)²)
///
/// A large `clip` such as `1e9` takes the clipping off.
///
/// Result: never negative.
///
/// Gradient: `values - returns`, and 0 where the clipped branch binds.
///
/// Source: PPO, arXiv 1707.06347, as in OpenAI's baselines; verl `compute_value_loss` (`cliprange_value`),
/// OpenRLHF `ValueLoss`, TRL PPO (`cliprange_value`); slime has no factor 0.5.
#[term(name = "clip_value", example = "clip_value(clip = 0.5)")]
struct ClipValue {
    /// How far a value may move from the old one before its gradient stops; verl and OpenRLHF use 0.5, TRL 0.2.
    #[param(default = 0.5, above = 0, help = "a large number such as `1e9` takes the clipping off")]
    clip: f64,
}

impl Term for ClipValue {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
            .minimised()
            .input(Input::field("values", Type::TOKEN))
            .input(Input::field("old_values", Type::TOKEN).detached())
            .input(Input::field("returns", Type::TOKEN).detached())
            .extra(Extra::new(
                "clipped",
                Type::TOKEN.to_bool(),
                "Where the clipped branch binds; verl's `vf_clipfrac` is its `token_mean`.",
            ))
            .interval(Interval::NON_NEGATIVE)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let values = ctx.input("values");
        let old_values = ctx.input("old_values");
        let returns = ctx.input("returns");
        let near = old_values + (values - old_values).clamp(-self.clip, self.clip);
        let free = (values - returns).square();
        let clipped = (near - returns).square();
        Ok(TermValue::from(free.maximum(&clipped) * 0.5).with_wanted(ctx, "clipped", || clipped.gt(&free)))
    }
}
