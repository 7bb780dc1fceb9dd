//! Draws actions by inverting the cumulative distribution: one pass over the policy for any number of samples.

use tch::{Kind, Tensor};

/// The action for each uniform number in `0 .. 1`; `probability` is `[contexts, actions]`, `uniform` and the result are
/// `[contexts, samples]`.
pub(super) fn inverse_cdf(probability: &Tensor, uniform: &Tensor) -> Tensor {
    let cumulative = probability.cumsum(-1, Kind::Float);
    let last = cumulative.size()[1] - 1;
    // After rounding, the total is near 1, not exactly 1.
    let total = cumulative.narrow(1, last, 1);
    // From the right, so that an action of probability zero is never drawn.
    let index = (uniform * total).searchsorted(&cumulative, false, true, "right", None::<Tensor>);
    index.clamp_max(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::random::Random;
    use tch::Device;

    #[test]
    fn a_uniform_number_falls_into_its_action() {
        let probability = Tensor::from_slice(&[0.25f32, 0.0, 0.5, 0.25]).reshape([1, 4]);
        let uniform = Tensor::from_slice(&[0.0f32, 0.2, 0.25, 0.7, 0.75, 0.999_999_9]).reshape([1, 6]);
        let drawn: Vec<i64> = Vec::try_from(inverse_cdf(&probability, &uniform).reshape([6])).unwrap();
        assert_eq!(drawn, [0, 0, 2, 2, 3, 3]);
    }

    #[test]
    fn actions_are_drawn_as_often_as_their_probability_says() {
        let logits = Random::at(0, 0, "logits").normal(&[2, 50], 1.0, Device::Cpu);
        let probability = logits.softmax(-1, Kind::Float);
        let uniform = Random::at(0, 0, "uniform").uniform(&[2, 20_000], Device::Cpu);
        let drawn = inverse_cdf(&probability, &uniform);
        for context in 0..2 {
            let counts = drawn.get(context).bincount(None::<Tensor>, 50).to_kind(Kind::Double);
            let expected = probability.get(context).to_kind(Kind::Double) * 20_000.0;
            // Pearson's statistic with 49 degrees of freedom exceeds 100 with probability below 1e-4.
            let chi: f64 = ((counts - &expected).square() / expected).sum(Kind::Double).double_value(&[]);
            assert!(chi < 100.0, "{chi}");
        }
    }
}
