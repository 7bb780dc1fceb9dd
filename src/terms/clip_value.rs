//! The clipped value loss of PPO.

use crate::plugin::prelude::*;

crate::term! {
    /// The clipped squared error of a value function, to be minimised.
    ///
    /// Formula:
    ///
    ///     c = clamp(values, old_values - clip, old_values + clip)
    ///     L = 0.5 · max((values - returns)², (c - returns)²)
    ///
    /// Inputs: `values`, `old_values`, `returns`, all token; the last two are constants for the gradient.
    ///
    /// - `clip = 0.5`, positive: how far a value may move from the old one before its gradient stops. A large number
    ///   takes it off. verl and OpenRLHF use 0.5, TRL 0.2
    ///
    /// Result: token, never negative. Extra: `clipped` (bool: the clipped branch binds; verl's `vf_clipfrac` is its
    /// `token_mean`).
    ///
    /// Gradient: `values - returns`, and 0 where the clipped branch binds.
    ///
    /// Errors: a `clip` that is not positive.
    ///
    /// Source: PPO, arXiv 1707.06347, as in OpenAI's baselines; verl `compute_value_loss` (`cliprange_value`),
    /// OpenRLHF `ValueLoss`, TRL PPO (`cliprange_value`); slime has no factor 0.5.
    "clip_value" => ClipValue, example = "clip_value(clip = 0.5)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClipValue {
    clip: f64,
}

impl Default for ClipValue {
    fn default() -> Self {
        Self { clip: 0.5 }
    }
}

impl Term for ClipValue {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN)
            .input(Input::field("values", Type::TOKEN))
            .input(Input::field("old_values", Type::TOKEN).detached())
            .input(Input::field("returns", Type::TOKEN).detached())
            .extra(Extra::new("clipped", Type::TOKEN.to_bool()))
            .interval(Interval::NON_NEGATIVE)
    }

    fn check(&self) -> Result<(), ArgError> {
        ArgError::positive("clip", self.clip)
            .map_err(|error| error.help("a large number such as `1e9` takes the clipping off"))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let values = ctx.input("values");
        let old_values = ctx.input("old_values");
        let returns = ctx.input("returns");
        let near = old_values + (values - old_values).clamp(-self.clip, self.clip);
        let free = (values - returns).square();
        let clipped = (near - returns).square();
        let clips = clipped.gt_tensor(&free);
        Ok(TermValue::from(free.maximum(&clipped) * 0.5).with("clipped", clips))
    }
}
