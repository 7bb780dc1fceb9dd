//! Entries that are wrong in one way each.

use aent::plugin::prelude::*;

macro_rules! token_term {
    ($object:ident, $signature:expr, |$self_:ident, $x:ident| $value:expr) => {
        impl Term for $object {
            fn signature(&self) -> Signature {
                $signature.input(Input::field("log_prob", Type::TOKEN))
            }

            fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
                let ($self_, $x) = (self, ctx.input("log_prob"));
                Ok(TermValue::from($value))
            }
        }
    };
}

aent::term! {
    /// Twice the thing
    "faulty::undocumented" => Undocumented, example = "faulty::undocumented(scale = 2)"
}

#[derive(Debug, Serialize, Deserialize)]
struct Undocumented {
    scale: f64,
}

token_term!(Undocumented, Signature::new(Type::TOKEN), |term, x| x * term.scale);

aent::term! {
    /// The square of `log_prob`, with half its gradient.
    ///
    /// Formula: `sg[log_prob] · log_prob`
    ///
    /// Source: none.
    "faulty::half_gradient" => HalfGradient, example = "faulty::half_gradient()"
}

#[derive(Debug, Serialize, Deserialize)]
struct HalfGradient {}

token_term!(HalfGradient, Signature::new(Type::TOKEN), |_term, x| x.detach() * x);

aent::term! {
    /// The log-probability with three digits, said to be positive.
    ///
    /// Formula: `log_prob`
    ///
    /// Source: none.
    "faulty::lossy" => Lossy, example = "faulty::lossy()"
}

#[derive(Debug, Serialize, Deserialize)]
struct Lossy {}

token_term!(Lossy, Signature::new(Type::TOKEN).interval(Interval::NON_NEGATIVE), |_term, x| {
    // In f64 nothing is lost, so that only the comparison of kinds can tell.
    if x.kind() == tch::Kind::Float {
        x.to_kind(tch::Kind::BFloat16).to_kind(x.kind())
    } else {
        x.shallow_clone()
    }
});

aent::term! {
    /// The sum where one value per token is promised.
    ///
    /// Formula: `Σ log_prob`
    ///
    /// Source: none.
    "faulty::flat" => Flat, example = "faulty::flat()"
}

#[derive(Debug, Serialize, Deserialize)]
struct Flat {}

token_term!(Flat, Signature::new(Type::TOKEN), |_term, x| x.sum(x.kind()));

aent::term! {
    /// The log-probability times an argument that is not saved.
    ///
    /// Formula: `scale · log_prob`
    ///
    /// Source: none.
    "faulty::forgetful" => Forgetful, example = "faulty::forgetful(scale = 2)"
}

#[derive(Debug, Serialize, Deserialize)]
struct Forgetful {
    #[serde(default, skip_serializing)]
    scale: f64,
}

token_term!(Forgetful, Signature::new(Type::TOKEN), |term, x| x * term.scale);

aent::reduction! {
    /// The mean over the tokens at hand, which may be a part of the step.
    ///
    /// Formula: `Σ x / N`
    ///
    /// Source: none.
    "faulty::local_mean" => LocalMean, example = "faulty::local_mean(log_prob)"
}

#[derive(Debug, Serialize, Deserialize)]
struct LocalMean {}

impl Reduction for LocalMean {
    fn signature(&self) -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR)
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.sum(x.kind()) / ctx.mask().sum(x.kind()).clamp_min(1.0))
    }
}

aent::controller! {
    /// A coefficient that follows its signal wherever it goes.
    ///
    /// Formula: `v ← h`
    ///
    /// Source: none.
    "faulty::wanderer" => Wanderer, example = "faulty::wanderer(signal = token_mean(entropy()))"
}

#[derive(Debug, Serialize, Deserialize)]
struct Wanderer {}

impl Controller for Wanderer {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature { signal: true, interval: Interval::UNIT, target: None }
    }

    fn start(&self) -> ControllerState {
        ControllerState::starting_at(0.5)
    }

    fn observe(&self, state: &ControllerState, signal: Option<f64>) -> ControllerState {
        state.moved_to(signal.unwrap_or(state.value))
    }
}

aent::controller! {
    /// A coefficient that remembers every signal and does not say so.
    ///
    /// Formula: `v ← v`
    ///
    /// Source: none.
    "faulty::hoarder" => Hoarder, example = "faulty::hoarder(signal = token_mean(entropy()))"
}

#[derive(Debug, Serialize, Deserialize)]
struct Hoarder {}

impl Controller for Hoarder {
    fn signature(&self) -> ControllerSignature {
        ControllerSignature { signal: true, interval: Interval::UNIT, target: None }
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
