//! Entries that are wrong in one way each.

use aent::plugin::prelude::*;

macro_rules! token_term {
    ($object:ident, $signature:expr, |$self_:ident, $x:ident| $value:expr) => {
        impl Term for $object {
            fn signature() -> Signature {
                $signature.input(Input::field("log_prob", Type::TOKEN))
            }

            fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
                let ($self_, $x) = (self, ctx.input("log_prob"));
                Ok(TermValue::from($value))
            }
        }
    };
}

/// Twice the thing
#[term(name = "faulty::undocumented", example = "faulty::undocumented(scale = 2)")]
struct Undocumented {
    /// scale
    scale: f64,
}

token_term!(Undocumented, Signature::new(Type::TOKEN), |term, x| x * term.scale);

/// The square of `log_prob`, with half its gradient.
///
/// Formula: `sg[log_prob] · log_prob`
///
/// Source: none.
#[term(name = "faulty::half_gradient", example = "faulty::half_gradient()")]
struct HalfGradient {}

token_term!(HalfGradient, Signature::new(Type::TOKEN), |_term, x| x.detach() * x);

/// The log-probability with three digits, said to be positive.
///
/// Formula: `log_prob`
///
/// Source: none.
#[term(name = "faulty::lossy", example = "faulty::lossy()")]
struct Lossy {}

token_term!(Lossy, Signature::new(Type::TOKEN).interval(Interval::NON_NEGATIVE), |_term, x| {
    // In f64 nothing is lost, so that only the comparison of kinds can tell.
    if x.dtype() == DType::F32 { x.to_dtype(DType::BF16).to_dtype(DType::F32) } else { x.clone() }
});

/// The sum where one value per token is promised.
///
/// Formula: `Σ log_prob`
///
/// Source: none.
#[term(name = "faulty::flat", example = "faulty::flat()")]
struct Flat {}

token_term!(Flat, Signature::new(Type::TOKEN), |_term, x| x.sum());

/// The log-probability times an argument that is not saved.
///
/// Formula: `scale · log_prob`
///
/// Source: none.
#[term(name = "faulty::forgetful", example = "faulty::forgetful(scale = 2)")]
struct Forgetful {
    /// What it is multiplied with.
    #[serde(skip_serializing, default)]
    scale: f64,
}

token_term!(Forgetful, Signature::new(Type::TOKEN), |term, x| x * term.scale);

/// The mean over the tokens at hand, which may be a part of the step.
///
/// Formula: `Σ x / N`
///
/// Source: none.
#[reduction(name = "faulty::local_mean", example = "faulty::local_mean(log_prob)")]
struct LocalMean {}

impl Reduction for LocalMean {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.sum() / ctx.mask().sum_in(x.dtype()).clamp_min(1.0))
    }
}

/// A coefficient that follows its signal wherever it goes.
///
/// Formula: `v ← h`
///
/// Source: none.
#[controller(name = "faulty::wanderer", example = "faulty::wanderer(signal = token_mean(entropy()))")]
struct Wanderer {}

impl Controller for Wanderer {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("What to follow.")
    }

    fn interval(&self) -> Interval {
        Interval::UNIT
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(0.5)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        state.moved_to(signal.unwrap_or(state.value))
    }
}

/// A coefficient that remembers every signal and does not say so.
///
/// Formula: `v ← v`
///
/// Source: none.
#[controller(name = "faulty::hoarder", example = "faulty::hoarder(signal = token_mean(entropy()))")]
struct Hoarder {}

impl Controller for Hoarder {
    fn signature() -> ControllerSignature {
        ControllerSignature::new().signal("What to follow.")
    }

    fn interval(&self) -> Interval {
        Interval::UNIT
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(0.5)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        let mut next = state.moved_to(state.value);
        next.memory.extend(signal);
        next
    }
}
