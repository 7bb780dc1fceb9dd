//! `log` is refused where its argument is never positive, and nowhere else.

use super::ids;
use aent::Compiler;
use proptest::prelude::*;

/// One step of a formula: how it is written around another one, and what it computes.
type Step = (fn(&str) -> String, fn(f64) -> f64);

/// The steps keep the unit of a log-probability, lose it, or turn the sign.
const STEPS: [Step; 9] = [
    (|x| format!("-({x})"), |x| -x),
    (|x| format!("abs({x})"), f64::abs),
    (|x| format!("({x} + 2)"), |x| x + 2.0),
    (|x| format!("({x} - 0.5)"), |x| x - 0.5),
    (|x| format!("(1 - {x})"), |x| 1.0 - x),
    (|x| format!("3 * {x}"), |x| 3.0 * x),
    (|x| format!("max({x}, 0.25)"), |x| x.max(0.25)),
    (|x| format!("min({x}, 0)"), |x| x.min(0.0)),
    (|x| format!("({x})^2"), |x| x * x),
];

/// Log-probabilities over the whole range that is met.
fn samples() -> impl Iterator<Item = f64> {
    (0..4000).map(|at| f64::from(at) * -0.01)
}

proptest! {
    #[test]
    fn a_logarithm_is_refused_exactly_where_its_argument_is_never_positive(
        steps in proptest::collection::vec(0..STEPS.len(), 0..5)
    ) {
        let text = steps.iter().fold("log_prob".to_owned(), |text, step| STEPS[*step].0(&text));
        let value = |x: f64| steps.iter().fold(x, |value, step| STEPS[*step].1(value));
        let is_positive = samples().any(|x| value(x) > 0.0);
        let found = ids(&Compiler::new(), &format!("loss = token_mean(log({text})) + token_mean(log_prob)"));
        let expected: &[&str] = if is_positive { &[] } else { &["outside-domain"] };
        prop_assert_eq!(found, expected, "log({})", text);
    }
}
