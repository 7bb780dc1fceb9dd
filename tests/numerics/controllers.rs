//! Controllers against their rules.

use aent::compile;
use aent::plugin::{Controller, ControllerState};
use aent::program::Program;

fn program(controller: &str) -> Program {
    let text =
        format!("controller c = {controller}\nloss = token_mean(log_prob) - c * token_mean(entropy())");
    compile(&text).unwrap_or_else(|failure| panic!("{failure}\nin\n{text}"))
}

/// The value before the first and after each observation.
pub(crate) fn trajectory(controller: &str, signals: &[f64]) -> Vec<f64> {
    let program = program(controller);
    let object = &program.controllers[0].object;
    let rule: &dyn Controller = object.value.as_ref();
    let mut states: Vec<ControllerState> = vec![rule.start()];
    for signal in signals {
        let signal = object.signature.signal.then_some(*signal);
        states.push(rule.observe(&states[states.len() - 1], signal));
    }
    states.iter().map(|state| state.value).collect()
}

#[track_caller]
pub(crate) fn assert_trajectory(controller: &str, signals: &[f64], expected: &[f64]) {
    crate::assert_near(&trajectory(controller, signals), expected, 1e-15, controller);
}

const SIGNALS: [f64; 6] = [0.05, 0.05, 0.3, 0.9, 0.9, 0.02];

#[test]
fn the_band_follows_the_published_rule() {
    assert_trajectory(
        "band(signal = token_mean(entropy()), target = 0.1 .. 0.5)",
        &SIGNALS,
        &[0.001, 0.00105, 0.0011, 0.0011, 0.0007, 0.0003, 0.00038],
    );
}

#[test]
fn the_band_waits_for_its_warmup() {
    assert_trajectory(
        "band(signal = token_mean(entropy()), target = 0.1 .. 0.5, warmup = 3)",
        &SIGNALS,
        &[0.001, 0.001, 0.001, 0.001, 0.0006, 0.0002, 0.00028],
    );
}

#[test]
fn the_band_stops_at_its_bounds() {
    assert_trajectory(
        "band(signal = token_mean(entropy()), target = 0.1, step = 1, bounds = 0.2 .. 0.4, init = 0.3)",
        &[0.0, 0.0, 0.05, 0.2, 5.0],
        &[0.3, 0.4, 0.4, 0.4, 0.3, 0.2],
    );
}

#[test]
fn the_band_pulls_back_to_where_it_began() {
    let (step, reg, init, lo, hi) = (0.1, 2.0, 0.5, 0.2, 0.3);
    let signals = [0.0, 0.1, 0.25, 0.25, 0.9, 0.25];
    let mut value: f64 = init;
    let mut expected = vec![value];
    for h in signals {
        let push: f64 = f64::min(0.0, h - lo) + f64::max(0.0, h - hi) + reg * (value - init);
        value = (value - step * push).clamp(0.0, 1.0);
        expected.push(value);
    }
    assert_trajectory(
        "band(signal = token_mean(entropy()), target = 0.2 .. 0.3, step = 0.1, bounds = 0 .. 1, init = 0.5, reg = 2)",
        &signals,
        &expected,
    );
}

#[test]
fn a_constant_stays() {
    assert_eq!(trajectory("constant(value = 0.25)", &SIGNALS), vec![0.25; 7]);
}

#[test]
fn schedules_move_one_step_per_observation_and_end_exactly() {
    assert_trajectory(
        "linear(from = 1, to = 0.2, steps = 4)",
        &SIGNALS,
        &[1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2],
    );
    assert_trajectory(
        "linear(from = 0, to = 1, steps = 2, warmup = 3)",
        &SIGNALS,
        &[0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0],
    );
    let half = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
    assert_trajectory(
        "cosine(from = 1, to = 0, steps = 4)",
        &SIGNALS,
        &[1.0, 0.5 + half, 0.5, 0.5 - half, 0.0, 0.0, 0.0],
    );
    for kind in ["linear", "cosine"] {
        let path = trajectory(&format!("{kind}(from = 1e-2, to = 3e-3, steps = 5)"), &SIGNALS);
        assert_eq!((path[0], path[5], path[6]), (1e-2, 3e-3, 3e-3), "{kind}");
    }
}
