//! The cost of a bonus at the optimum: the best policy under reward plus entropy, in closed form.
//!
//! With reward 1 on `n` of `m` actions, the policy that maximises `reward + λ·entropy` is `π ∝ exp(reward / λ)`; for
//! the clamped entropy the same holds on the kept actions, if they include the optimal ones.

/// The expected reward of the best policy under the bonus, `n e^{1/λ} / (n e^{1/λ} + m - n)`.
pub fn value(lambda: f64, n: f64, m: f64) -> f64 {
    // The same, without the overflow of `e^{1/λ}`.
    n / (n + (m - n) * (-1.0 / lambda).exp())
}

/// The coefficient at which that reward is 1/2.
pub fn half_point(n: f64, m: f64) -> f64 {
    1.0 / ((m - n) / n).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_reward_is_lost_at_the_half_points() {
        for (n, worked) in [(15.0, 0.1136), (10.0, 0.1086), (5.0, 0.1010), (1.0, 0.0869)] {
            let half = half_point(n, 1e5);
            assert!((half - worked).abs() < 5e-5, "{n}: {half}");
            assert!((value(half, n, 1e5) - 0.5).abs() < 1e-12);
        }
    }

    #[test]
    fn worked_values_are_met() {
        // n, m and the values at λ = 0.05, 0.08, 0.10, 0.12, 0.15, 0.20, to three digits.
        let table = [
            (15.0, 1e5, [1.000, 0.976, 0.768, 0.384, 0.106, 0.022]),
            (1.0, 1e5, [1.000, 0.729, 0.181, 0.040, 0.008, 0.001]),
            (5.0, 1e4, [1.000, 0.993, 0.917, 0.675, 0.282, 0.069]),
            (10.0, 1e3, [1.000, 1.000, 0.996, 0.977, 0.888, 0.600]),
        ];
        for (n, m, values) in table {
            for (lambda, worked) in [0.05, 0.08, 0.10, 0.12, 0.15, 0.20].into_iter().zip(values) {
                let found = value(lambda, n, m);
                assert!((found - worked).abs() < 6e-4, "λ = {lambda}, n = {n}, m = {m}: {found}");
            }
        }
    }

    #[test]
    fn keeping_a_tenth_is_having_ten_times_as_many_optimal_actions() {
        assert!((value(0.1, 1.0, 1e4) - value(0.1, 10.0, 1e5)).abs() < 1e-12);
    }

    #[test]
    fn a_tiny_coefficient_costs_nothing() {
        assert!((value(1e-4, 1.0, 1e5) - 1.0).abs() < 1e-15);
    }
}
