//! Controllers: bounded, deterministic, saved and restored bit for bit.

use super::Conformance;
use crate::Session;
use crate::plugin::{AnyEntry, Controller, ControllerState};
use crate::program::{Object, Program};
use crate::testing::Outcome;
use tch::Kind;

const OBSERVATIONS: u64 = 10_000;

/// What is wrong with a controller.
pub(super) fn check(suite: &Conformance, entry: AnyEntry) -> Vec<String> {
    let statements = format!(
        "controller coefficient = {}\nloss = token_mean(log_prob) - coefficient * token_mean(entropy())\n",
        entry.declaration().example
    );
    let program = match suite.program(&statements) {
        Ok(program) => program,
        Err(finding) => return vec![finding],
    };
    let Some(declared) = program.controllers.first() else {
        return vec!["the example is a controller".to_owned()];
    };
    let mut findings = Vec::new();
    findings.extend(stays_in_bounds(&declared.object).err());
    findings.extend(restores(&declared.object).err());
    findings.extend(restores_with_its_program(&program).err());
    findings.extend(steps(suite, program).err());
    findings
}

/// Signals of every size, the same on every run: drifts, jumps, zeros and huge numbers.
fn signals() -> impl Iterator<Item = f64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..OBSERVATIONS).map(move |step| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
        match step % 50 {
            0 => 0.0,
            1 => 1e300 * (unit - 0.5),
            2 => 1e6 * (unit - 0.5),
            _ => 2.0 * unit + (step as f64 / 500.0).sin(),
        }
    })
}

/// A controller in a program.
type Rule = Object<dyn Controller>;

fn observed(rule: &Rule, signal: f64) -> Option<f64> {
    rule.signature.signal.then_some(signal)
}

fn stays_in_bounds(rule: &Rule) -> Result<(), String> {
    let controller = &rule.value;
    let interval = controller.interval();
    let mut state = controller.start();
    for (step, signal) in signals().enumerate() {
        if !interval.contains(state.value) {
            return Err(format!("after {step} observations the value {} is outside {interval}", state.value));
        }
        if let Err(refusal) = controller.validate(&state) {
            return Err(format!("after {step} observations `validate` refuses the state: {refusal}"));
        }
        if state.observations != step as u64 {
            return Err(format!("after {step} observations the state counts {}", state.observations));
        }
        let next = controller.observe(&state, observed(rule, signal));
        if next != controller.observe(&state, observed(rule, signal)) {
            return Err(format!("observing {signal} twice from the same state gives two results"));
        }
        state = next;
    }
    Ok(())
}

fn restores(rule: &Rule) -> Result<(), String> {
    let controller = &rule.value;
    let mut state = controller.start();
    let mut other = controller.start();
    for signal in signals().take(1_000) {
        state = controller.observe(&state, observed(rule, signal));
        let saved = serde_json::to_string(&other).map_err(|error| error.to_string())?;
        let restored: ControllerState = serde_json::from_str(&saved).map_err(|error| error.to_string())?;
        other = controller.observe(&restored, observed(rule, signal));
        let bits =
            |state: &ControllerState| (state.value.to_bits(), state.observations, state.memory.clone());
        if bits(&state) != bits(&other) {
            return Err(format!("saving and restoring changes the state: {other:?} instead of {state:?}"));
        }
    }
    Ok(())
}

fn restores_with_its_program(program: &Program) -> Result<(), String> {
    let saved = serde_json::to_string(program).map_err(|error| error.to_string())?;
    let restored: Program = serde_json::from_str(&saved).map_err(|error| error.to_string())?;
    let run = |program: &Program| {
        let rule = &program.controllers[0].object;
        let controller = &rule.value;
        let step = |state: ControllerState, signal| controller.observe(&state, observed(rule, signal));
        signals().take(1_000).fold(controller.start(), step)
    };
    if run(&restored) == run(program) {
        Ok(())
    } else {
        Err("a restored controller moves otherwise".to_owned())
    }
}

/// In a session, a step uses the coefficient from before its observation, and the next step uses the one that the rule
/// computes from the signal.
fn steps(suite: &Conformance, program: Program) -> Result<(), String> {
    let Some(case) = suite.smooth_case() else { return Ok(()) };
    let saved = serde_json::to_string(&program).map_err(|error| error.to_string())?;
    let alone: Program = serde_json::from_str(&saved).map_err(|error| error.to_string())?;
    let rule = &alone.controllers[0].object;
    let controller = &rule.value;
    let mut session = Session::new(program);
    let mut state = controller.start();
    for _ in 0..5 {
        let outcome = Outcome::of(&session, &case, Kind::Double).map_err(|error| error.to_string())?;
        let signal = outcome.metrics.get("signal coefficient").copied();
        if signal.is_some() != rule.signature.signal {
            return Err("the step has a signal exactly where the signature says so".to_owned());
        }
        let found = session.coefficients().get("coefficient").copied();
        if found != Some(state.value) {
            return Err(format!("expected the coefficient {} in force, found {found:?}", state.value));
        }
        let leaves = case.leaves(Kind::Double, tch::Device::Cpu);
        let output = session.forward(&leaves.batch).map_err(|error| error.to_string())?;
        session.update(&output).map_err(|error| error.to_string())?;
        state = controller.observe(&state, signal);
    }
    Ok(())
}
