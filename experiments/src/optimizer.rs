//! Adam with state that can be saved, unlike the optimizers of tch.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use crate::error::TrainError;

/// Adam (Kingma and Ba, arXiv 1412.6980) with decays 0.9 and 0.999 and by default ε = 1e-8, after clipping the gradient's norm.
///
/// ```text
/// g ← g · min(1, max_norm / ‖g‖)
/// m ← 0.9 m + 0.1 g        v ← 0.999 v + 0.001 g²
/// θ ← θ − rate · (m / (1 − 0.9^n)) / (√(v / (1 − 0.999^n)) + ε)
/// ```
pub struct Adam {
    params: Vec<Param>,
    rate: f64,
    epsilon: f64,
    max_norm: Option<f64>,
    made: i64,
}

struct Param {
    name: String,
    value: Tensor,
    mean: Tensor,
    square: Tensor,
}

const DECAY_MEAN: f64 = 0.9;
const DECAY_SQUARE: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl Adam {
    /// An optimizer of named tensors that require a gradient.
    pub fn new(params: &[(String, Tensor)], rate: f64, max_norm: Option<f64>) -> Self {
        let params = params.iter().map(|(name, value)| Param {
            name: name.clone(),
            value: value.shallow_clone(),
            mean: value.detach().zeros_like(),
            square: value.detach().zeros_like(),
        });
        Adam { params: params.collect(), rate, epsilon: EPSILON, max_norm, made: 0 }
    }

    /// The same optimizer with another ε.
    #[must_use]
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Adam { epsilon, ..self }
    }

    /// Sets the rate of the steps to come.
    pub fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// Updates the parameters and clears their gradients.
    pub fn step(&mut self) {
        self.made += 1;
        no_grad(|| {
            let gradients: Vec<Option<Tensor>> =
                self.params.iter().map(|param| Some(param.value.grad()).filter(Tensor::defined)).collect();
            let shrink = self.max_norm.map_or(1.0, |most| (most / norm(&gradients)).min(1.0));
            let unbias_mean = 1.0 - DECAY_MEAN.powi(self.made as i32);
            let unbias_square = 1.0 - DECAY_SQUARE.powi(self.made as i32);
            for (param, gradient) in self.params.iter_mut().zip(gradients) {
                let Some(gradient) = gradient else { continue };
                let gradient = if shrink < 1.0 { gradient * shrink } else { gradient };
                let _ = param.mean.g_mul_scalar_(DECAY_MEAN).g_add_(&(&gradient * (1.0 - DECAY_MEAN)));
                let _ = param
                    .square
                    .g_mul_scalar_(DECAY_SQUARE)
                    .g_add_(&(gradient.square() * (1.0 - DECAY_SQUARE)));
                // The root of a number that is no normal one is slow, and nothing beside ε.
                let mut root =
                    (&param.square / unbias_square).clamp_min_(f64::from(f32::MIN_POSITIVE)).sqrt_();
                let mut change = &param.mean / root.g_add_scalar_(self.epsilon);
                let _ = param.value.g_sub_(&change.g_mul_scalar_(self.rate / unbias_mean));
                param.value.zero_grad();
            }
        });
    }

    /// The moments and the number of steps, under names that begin with `adam.`.
    pub fn save(&self) -> Vec<(String, Tensor)> {
        let statistics = self.params.iter().flat_map(|param| {
            [
                (format!("adam.mean.{}", param.name), param.mean.shallow_clone()),
                (format!("adam.square.{}", param.name), param.square.shallow_clone()),
            ]
        });
        statistics.chain([("adam.made".to_string(), Tensor::from_slice(&[self.made]))]).collect()
    }

    /// Restores what [`Adam::save`] returned.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        for param in &mut self.params {
            copy(saved, &format!("adam.mean.{}", param.name), &mut param.mean)?;
            copy(saved, &format!("adam.square.{}", param.name), &mut param.square)?;
        }
        let mut made = Tensor::from_slice(&[self.made]);
        copy(saved, "adam.made", &mut made)?;
        self.made = made.int64_value(&[0]);
        Ok(())
    }
}

/// The norm of all gradients together.
fn norm(gradients: &[Option<Tensor>]) -> f64 {
    let squares: Vec<Tensor> =
        gradients.iter().flatten().map(|gradient| gradient.square().sum(Kind::Double)).collect();
    if squares.is_empty() {
        return 0.0;
    }
    Tensor::stack(&squares, 0).sum(Kind::Double).double_value(&[]).sqrt()
}

/// Copies a saved tensor into an existing one.
pub fn copy(saved: &BTreeMap<String, Tensor>, name: &str, into: &mut Tensor) -> Result<(), TrainError> {
    let found = find(saved, name)?;
    // Torch would spread a smaller tensor over a larger one.
    if (found.kind(), found.size()) != (into.kind(), into.size()) {
        return Err(TrainError::refused(format!(
            "expected the tensor `{name}` as {:?} {:?}, found {:?} {:?}",
            into.kind(),
            into.size(),
            found.kind(),
            found.size()
        )));
    }
    no_grad(|| into.f_copy_(found))?;
    Ok(())
}

fn find<'a>(saved: &'a BTreeMap<String, Tensor>, name: &str) -> Result<&'a Tensor, TrainError> {
    saved.get(name).ok_or_else(|| TrainError::refused(format!("the checkpoint has no tensor `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quadratic(params: &[(String, Tensor)]) {
        (&params[0].1 - 3.0).square().sum(Kind::Double).backward();
    }

    fn params() -> Vec<(String, Tensor)> {
        vec![("x".to_string(), Tensor::from_slice(&[0.0_f64, 10.0]).set_requires_grad(true))]
    }

    #[test]
    fn the_first_step_has_the_rate_as_its_length() {
        // m / (1 - 0.9) = g and √(v / (1 - 0.999)) = |g| after one step, for any g.
        let params = params();
        let mut adam = Adam::new(&params, 0.5, None);
        quadratic(&params);
        adam.step();
        let moved: Vec<f64> = Vec::try_from(&params[0].1.detach()).unwrap();
        assert!((moved[0] - 0.5).abs() < 1e-7 && (moved[1] - 9.5).abs() < 1e-7, "{moved:?}");
    }

    #[test]
    fn a_gradient_is_clipped_to_its_norm() {
        // With an ε far above the gradient a step is the gradient over ε: its length is that of the clipped gradient.
        let params = params();
        let mut adam = Adam::new(&params, 1e9, Some(2.0)).with_epsilon(1e9);
        quadratic(&params);
        adam.step();
        let moved: Vec<f64> = Vec::try_from(&params[0].1.detach()).unwrap();
        let norm = (36.0_f64 + 196.0).sqrt();
        assert!((moved[0] - 2.0 * 6.0 / norm).abs() < 1e-6, "{moved:?}");
        assert!((moved[1] - (10.0 - 2.0 * 14.0 / norm)).abs() < 1e-6, "{moved:?}");
    }

    #[test]
    fn a_step_has_the_rate_that_was_set_last() {
        let params = params();
        let mut adam = Adam::new(&params, 0.5, None);
        adam.set_rate(0.25);
        quadratic(&params);
        adam.step();
        assert!((params[0].1.double_value(&[0]) - 0.25).abs() < 1e-7);
    }

    #[test]
    fn a_quadratic_is_solved() {
        let params = params();
        let mut adam = Adam::new(&params, 0.1, Some(1.0));
        for _ in 0..2_000 {
            quadratic(&params);
            adam.step();
        }
        assert!((&params[0].1 - 3.0).abs().max().double_value(&[]) < 1e-3);
    }

    #[test]
    fn a_restored_optimizer_goes_on_bit_for_bit() {
        let run = |adam: &mut Adam, params: &[(String, Tensor)], steps: usize| {
            for _ in 0..steps {
                quadratic(params);
                adam.step();
            }
        };
        let through = params();
        run(&mut Adam::new(&through, 0.1, Some(1.0)), &through, 7);

        let before = params();
        let mut first = Adam::new(&before, 0.1, Some(1.0));
        run(&mut first, &before, 3);
        let saved: BTreeMap<String, Tensor> = first.save().into_iter().collect();
        let after = params();
        copy(&[("x".to_string(), before[0].1.detach())].into(), "x", &mut after[0].1.shallow_clone())
            .unwrap();
        let mut second = Adam::new(&after, 0.1, Some(1.0));
        second.restore(&saved).unwrap();
        run(&mut second, &after, 4);
        assert_eq!(through[0].1, after[0].1);
    }
}
