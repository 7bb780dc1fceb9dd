//! How a call is written: arguments with their defaults, and the type of what comes out.

use aent::plugin::{
    AnyEntry, ControllerSignature, Input, InputDefault, Parameter, ReductionSignature, Signature, parameters,
};
use aent::{Builtin, compile};
use serde_json::Value;

/// What an entry says of itself, for the arguments of its example.
pub(super) enum Known {
    /// A term.
    Term(Signature),
    /// A reduction.
    Reduction(ReductionSignature),
    /// A controller.
    Controller(ControllerSignature),
}

/// The signature of an entry, none where its example does not compile.
pub(super) fn known(entry: AnyEntry) -> Option<Known> {
    let example = entry.info().example;
    let statement = match entry {
        AnyEntry::Controller(_) => format!("controller _example = {example}"),
        _ => format!("let _example = {example}"),
    };
    let program = compile(&format!("{statement}\nloss = token_mean(log_prob())")).ok()?;
    let name = entry.info().name;
    match entry {
        AnyEntry::Term(_) => {
            let term = program.terms.iter().find(|of| of.name == name)?;
            Some(Known::Term(term.value.signature()))
        }
        AnyEntry::Reduction(_) => {
            let reduction = program.reductions.iter().find(|of| of.name == name)?;
            Some(Known::Reduction(reduction.value.signature()))
        }
        AnyEntry::Controller(_) => {
            let controller = program.controllers.iter().find(|of| of.object.name == name)?;
            Some(Known::Controller(controller.object.value.signature()))
        }
    }
}

/// The call on one line, with the arguments that need their name behind a `*`:
/// `clip_ppo(*, advantages = advantages, low = 0.2, ...) -> token`.
pub(super) fn short(entry: AnyEntry) -> String {
    let constants = parameters(entry).into_iter().map(|of| parameter(&of));
    let split = |inputs: &[Input]| -> (Vec<String>, Vec<String>) {
        let (by_position, by_name): (Vec<&Input>, Vec<&Input>) = inputs.iter().partition(|of| of.positional);
        (by_position.into_iter().map(argument).collect(), by_name.into_iter().map(argument).collect())
    };
    let (mut arguments, mut by_name, result) = match known(entry) {
        Some(Known::Term(signature)) => {
            let (by_position, by_name) = split(&signature.inputs);
            (by_position, by_name, format!(" -> {}", signature.result))
        }
        Some(Known::Reduction(signature)) => {
            let (by_position, by_name) = split(&signature.inputs);
            let operand = format!("x: {}", signature.from);
            let arguments = std::iter::once(operand).chain(by_position).collect();
            (arguments, by_name, format!(" -> {}", signature.to))
        }
        Some(Known::Controller(signature)) => {
            let signal = signature.signal.then(|| "signal: scalar".to_owned());
            (Vec::new(), signal.into_iter().collect(), String::new())
        }
        None => (Vec::new(), Vec::new(), String::new()),
    };
    by_name.extend(constants);
    if !by_name.is_empty() {
        arguments.push("*".to_owned());
        arguments.append(&mut by_name);
    }
    format!("{}({}){result}", entry.info().name, arguments.join(", "))
}

/// The call of a function of the language.
pub(super) fn function(of: &Builtin) -> String {
    let more = if matches!(of.name, "min" | "max") { ", ..." } else { "" };
    format!("{}({}{more})", of.name, of.params.join(", "))
}

/// An input as an argument: with its type where the call gives it, else with what it is without an argument.
fn argument(of: &Input) -> String {
    match of.default {
        InputDefault::Field => format!("{name} = {name}", name = of.name),
        _ => input(of),
    }
}

/// An input with its type and default.
pub(super) fn input(of: &Input) -> String {
    match of.default {
        InputDefault::Field | InputDefault::Required => format!("{}: {}", of.name, of.ty),
        InputDefault::Constant(value) => format!("{}: {} = {value}", of.name, of.ty),
    }
}

/// A constant argument with its default.
pub(super) fn parameter(of: &Parameter) -> String {
    match &of.default {
        None => of.name.clone(),
        // An argument that is off unless it is given.
        Some(Value::Null) => format!("[{}]", of.name),
        Some(value) => format!("{} = {}", of.name, written(value)),
    }
}

/// A default as it would be written in a file.
fn written(value: &Value) -> String {
    match value {
        Value::Array(ends) => ends.iter().map(written).collect::<Vec<_>>().join(" .. "),
        Value::Number(number) => match number.as_f64() {
            Some(value) if value != 0.0 && value.abs() < 1e-3 => format!("{value:e}"),
            Some(value) => value.to_string(),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aent::plugin::{Lookup, registry};

    fn entry(name: &str) -> AnyEntry {
        let Lookup::Found(entry) = registry().find(name) else { panic!("`{name}` is registered") };
        entry
    }

    #[test]
    fn every_example_compiles_and_so_every_signature_is_known() {
        for entry in registry().iter() {
            assert!(known(entry).is_some(), "{}", entry.info().name);
        }
    }

    #[test]
    fn defaults_are_written_as_in_a_file() {
        assert_eq!(short(entry("token_mean")), "token_mean(x: token) -> scalar");
        let band = short(entry("band"));
        assert!(band.starts_with("band(*, signal: scalar, target, step = "), "{band}");
        assert!(band.contains("bounds = 1e-5 .. 0.01"), "{band}");
        let kl = short(entry("kl"));
        assert!(kl.starts_with("kl(*, log_prob = log_prob, ref_log_prob = ref_log_prob, estimator"), "{kl}");
        let pass_at_k = short(entry("pass_at_k"));
        assert!(pass_at_k.starts_with("pass_at_k(right: seq, samples: seq, *, k)"), "{pass_at_k}");
        assert!(kl.contains("estimator = \"k3\""));
        assert!(short(entry("clamped_entropy")).contains("[top_k]"));
    }
}
