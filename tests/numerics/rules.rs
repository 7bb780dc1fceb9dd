//! Controllers that answer a signal, against their rules and worked examples.

use crate::controllers::{assert_trajectory, trajectory};
use aent::compile;

#[test]
fn the_step_rule_follows_the_worked_example() {
    assert_trajectory(
        "step(signal = token_mean(entropy()), target = 0.2)",
        &[0.1, 0.1, 0.3, 0.2, 0.5],
        &[0.0, 0.005, 0.01, 0.005, 0.01, 0.005],
    );
    assert_trajectory(
        "step(signal = token_mean(entropy()), target = 0.25, warmup = 1, init = 0.5, step = 0.3)",
        &[0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9],
        &[0.5, 0.5, 0.8, 1.0, 0.7, 0.4, 0.1, 0.0],
    );
}

#[test]
fn a_gate_hides_the_coefficient_above_the_target() {
    // c is 0.5, 0.6, 0.5, 0.4, 0.5 behind the gate.
    assert_trajectory(
        "step(signal = token_mean(entropy()), target = 0.2, step = 0.1, init = 0.5, gate = true)",
        &[0.1, 0.3, 0.3, 0.2],
        &[0.0, 0.6, 0.0, 0.0, 0.5],
    );
}

#[test]
fn adaptive_kl_follows_the_worked_example() {
    let spec = "adaptive_kl(signal = token_mean(kl()), target = 0.1, samples = 64)";
    assert_trajectory(
        spec,
        &[0.05, 0.1, 0.5, 0.11],
        &[0.001, 0.000_998_72, 0.000_998_72, 0.000_999_998_361_6, 0.001_000_638_360_551],
    );
    assert_trajectory(
        "adaptive_kl(signal = token_mean(kl()), target = 0.1, samples = 1, horizon = 1, limit = 0.5, init = 1, bounds = 0.6 .. 1.2, warmup = 1)",
        &[9.0, 9.0, 0.0, 0.0, 0.12],
        &[1.0, 1.0, 1.2, 0.6, 0.6, 0.72],
    );
}

#[test]
fn dual_ascent_moves_the_logarithm_by_what_is_missing() {
    let (e, half) = (1.0_f64.exp(), 0.5_f64.exp());
    assert_trajectory(
        "dual_ascent(signal = token_mean(entropy()), at_least = 0.5, step = 2, init = 0.01, bounds = 0.005 .. 0.04)",
        &[0.0, 0.25, 0.5, 1.0, 9.0],
        &[0.01, 0.01 * e, 0.04, 0.04, 0.04 / e, 0.005],
    );
    assert_trajectory(
        "dual_ascent(signal = token_mean(kl()), at_most = 0.5, step = 1, init = 1, warmup = 1)",
        &[7.0, 1.0, 0.0, 0.5],
        &[1.0, 1.0, half, 1.0, 1.0],
    );
}

#[test]
fn a_coefficient_doubles_and_halves_outside_of_its_tolerance() {
    assert_trajectory(
        "doubling(signal = token_mean(kl()), at_most = 0.01, bounds = 0.5 .. 3)",
        &[0.016, 0.014, 0.0067, 0.0066, 0.2, 0.2, 0.0, 0.0, 0.0],
        &[1.0, 2.0, 2.0, 2.0, 1.0, 2.0, 3.0, 1.5, 0.75, 0.5],
    );
    assert_trajectory(
        "doubling(signal = token_mean(entropy()), at_least = 1, tolerance = 1, factor = 3, warmup = 1)",
        &[0.5, 0.5, 1.0, 1.5],
        &[1.0, 1.0, 3.0, 3.0, 1.0],
    );
}

#[test]
fn a_pid_answers_the_error_its_sum_and_its_change() {
    let signals = [0.1, 0.3, 0.2, 0.05, 0.6, 0.2];
    let (p, i, d, target, init) = (0.5, 0.2, 0.1, 0.25, 0.05);
    let (mut sum, mut before) = (0.0, None);
    let mut expected = vec![init];
    for h in signals {
        let e: f64 = target - h;
        sum += e;
        let change = e - before.unwrap_or(e);
        before = Some(e);
        expected.push((init + p * e + i * sum + d * change).clamp(0.0, 0.1));
    }
    assert_trajectory(
        "pid(signal = token_mean(entropy()), target = 0.25, p = 0.5, i = 0.2, d = 0.1, init = 0.05, bounds = 0 .. 0.1)",
        &signals,
        &expected,
    );
}

#[test]
fn what_a_pid_sums_up_stays_within_its_limit() {
    assert_trajectory(
        "pid(signal = token_mean(entropy()), target = 1, i = 0.5)",
        &[0.0, 0.0, 0.0, 0.0, 3.0, 3.0, 3.0],
        // The sum is 1, 2, 2, 2, 0, -2, -2.
        &[0.0, 0.5, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
    );
    assert_trajectory(
        "pid(signal = token_mean(entropy()), target = 1, i = -0.5, bounds = -1 .. 1, limit = 0.5, warmup = 1)",
        &[9.0, 0.0, 0.0, 2.0],
        &[0.0, 0.0, -0.25, -0.25, 0.25],
    );
}

#[test]
fn a_coefficient_is_steered_to_a_share_of_the_first_signal() {
    assert_trajectory(
        "anchored(signal = token_mean(entropy()), share = 0.5, step = 0.1, anchor = 2, warmup = 1, bounds = 0 .. 0.2)",
        &[9.0, 2.0, 4.0, 1.0, 0.5, 0.0, 2.0],
        // The first signal is 3, the target 1.5.
        &[0.0, 0.0, 0.0, 0.0, 0.05, 0.15, 0.2, 0.15],
    );
}

#[test]
fn an_average_is_that_of_what_came_before() {
    assert_trajectory(
        "average(signal = token_mean(entropy()), init = 7, warmup = 1)",
        &[9.0, 2.0, 4.0, 9.0],
        &[7.0, 7.0, 2.0, 3.0, 5.0],
    );
    assert_trajectory(
        "average(signal = token_mean(entropy()), decay = 0.75, bounds = 0 .. 3)",
        &[2.0, 4.0, 6.0],
        &[0.0, 2.0, 2.5, 3.0],
    );
    assert_trajectory(
        "average(signal = token_mean(entropy()), until = 2)",
        &[2.0, 4.0, 9.0, 9.0],
        &[0.0, 2.0, 3.0, 3.0, 3.0],
    );
}

#[test]
fn a_coefficient_goes_through_its_points() {
    let signals = [0.0; 8];
    assert_trajectory(
        "piecewise(points = \"2: 1, 4: 0.5, 5: 2\")",
        &signals,
        &[1.0, 1.0, 1.0, 0.75, 0.5, 2.0, 2.0, 2.0, 2.0],
    );
    assert_trajectory(
        "piecewise(points = \"0: 1, 2: 0.5, 5: 2\", between = \"steps\")",
        &signals,
        &[1.0, 1.0, 0.5, 0.5, 0.5, 2.0, 2.0, 2.0, 2.0],
    );
}

#[test]
fn a_saved_state_goes_on_where_it_stopped() {
    for controller in [
        "step(signal = token_mean(entropy()), target = 0.2, gate = true)",
        "pid(signal = token_mean(entropy()), target = 0.3, p = 0.1, i = 0.1, d = 0.2)",
        "anchored(signal = token_mean(entropy()), share = 0.5, anchor = 3)",
        "average(signal = token_mean(entropy()))",
    ] {
        let text =
            format!("controller c = {controller}\nloss = token_mean(log_prob) - c * token_mean(entropy())");
        let program = compile(&text).unwrap();
        let rule = program.controllers[0].object.value.as_ref();
        let signals = [0.1, 0.5, 0.15, 0.3, 0.7, 0.05, 0.2];
        let mut state = rule.start();
        for signal in signals {
            let saved = serde_json::to_string(&state).unwrap();
            state = rule.observe(&serde_json::from_str(&saved).unwrap(), Some(signal));
        }
        let straight = trajectory(controller, &signals);
        assert!(state.value.to_bits() == straight[signals.len()].to_bits(), "{controller}");
    }
}
