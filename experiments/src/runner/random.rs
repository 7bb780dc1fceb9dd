//! Random numbers that depend only on the seed, the step and the purpose.
//!
//! Torch's global generator cannot be saved and restored through tch, and all threads would share it. A counter-based
//! stream that is reopened at each step needs no saving.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tch::{Device, Kind, Tensor};

/// A stream of random numbers.
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream for `purpose` at `step` of the run with `seed`; equal arguments give equal numbers.
    pub fn at(seed: u64, step: u64, purpose: &str) -> Self {
        // FNV-1a separates purposes; std's hasher may change between releases.
        let purpose = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut key = [0; 32];
        for (part, value) in key.chunks_exact_mut(8).zip([seed, step, purpose, 0]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Random(ChaCha8Rng::from_seed(key))
    }

    /// A number in `0 .. 1`, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// An integer in `0 .. bound`, `bound` excluded.
    pub fn below(&mut self, bound: i64) -> i64 {
        self.0.random_range(0..bound)
    }

    /// A tensor of f32 numbers in `0 .. 1`.
    pub fn uniform(&mut self, shape: &[i64], device: Device) -> Tensor {
        let count = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| self.0.random::<f32>()).collect();
        Tensor::from_slice(&values).reshape(shape).to_device(device)
    }

    /// A tensor of f32 numbers with mean 0 and standard deviation `deviation`.
    pub fn normal(&mut self, shape: &[i64], deviation: f64, device: Device) -> Tensor {
        let count = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| (deviation * self.gaussian()) as f32).collect();
        Tensor::from_slice(&values).reshape(shape).to_kind(Kind::Float).to_device(device)
    }

    /// The integers `0 .. count` in random order.
    pub fn permutation(&mut self, count: i64) -> Vec<i64> {
        let mut order: Vec<i64> = (0..count).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, self.below(i as i64 + 1) as usize);
        }
        order
    }

    /// The Box-Muller transform.
    fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64, step: u64, purpose: &str) -> Vec<f64> {
        let mut random = Random::at(seed, step, purpose);
        (0..4).map(|_| random.unit()).collect()
    }

    #[test]
    fn a_stream_is_a_function_of_seed_step_and_purpose() {
        assert_eq!(draw(1, 2, "answers"), draw(1, 2, "answers"));
        for other in [draw(0, 2, "answers"), draw(1, 3, "answers"), draw(1, 2, "prompts")] {
            assert_ne!(draw(1, 2, "answers"), other);
        }
    }

    #[test]
    fn normal_numbers_have_their_mean_and_deviation() {
        let sample = Random::at(0, 0, "test").normal(&[200, 200], 0.5, Device::Cpu);
        // Four standard errors of 40,000 draws.
        assert!(sample.mean(Kind::Double).double_value(&[]).abs() < 4.0 * 0.5 / 200.0);
        assert!((sample.std(true).double_value(&[]) - 0.5).abs() < 4.0 * 0.5 / 280.0);
    }

    #[test]
    fn a_permutation_holds_each_integer_once() {
        let mut order = Random::at(3, 0, "test").permutation(50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
