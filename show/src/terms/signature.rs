//! Writes calls: arguments with their defaults, and the type of the result.

use aent::Builtin;
use aent::plugin::{AnyEntry, Input, InputDefault, Parameter, Presence};

/// The call on one line, with the arguments that need names after a `*`:
/// `clip_ppo(*, advantages = advantages, low = 0.2, ...) -> token`.
pub fn short(entry: AnyEntry) -> String {
    let declaration = entry.declaration();
    let (mut arguments, mut by_name, result) = match entry {
        AnyEntry::Term(entry) => {
            let signature = entry.signature();
            let (by_position, by_name) = split(&signature.inputs);
            (by_position, by_name, format!(" -> {}", signature.result))
        }
        AnyEntry::Reduction(entry) => {
            let signature = entry.signature();
            let (by_position, by_name) = split(&signature.inputs);
            let operand = format!("x: {}", signature.from);
            let arguments = std::iter::once(operand).chain(by_position).collect();
            (arguments, by_name, format!(" -> {}", signature.to))
        }
        AnyEntry::Controller(entry) => {
            let signal = entry.signature().signal.then(|| "signal: scalar".to_owned());
            (Vec::new(), signal.into_iter().collect(), String::new())
        }
    };
    by_name.extend(declaration.parameters.iter().map(parameter));
    if !by_name.is_empty() {
        arguments.push("*".to_owned());
        arguments.append(&mut by_name);
    }
    format!("{}({}){result}", declaration.name, arguments.join(", "))
}

/// The inputs that may be given by position, and those that need names.
fn split(inputs: &[Input]) -> (Vec<String>, Vec<String>) {
    let (by_position, by_name): (Vec<&Input>, Vec<&Input>) = inputs.iter().partition(|of| of.positional);
    (by_position.into_iter().map(argument).collect(), by_name.into_iter().map(argument).collect())
}

/// The call of a built-in function.
pub fn function(of: &Builtin) -> String {
    let more = if matches!(of.name, "min" | "max") { ", ..." } else { "" };
    format!("{}({}{more})", of.name, of.params.join(", "))
}

/// An input as an argument, with its type or its default.
fn argument(of: &Input) -> String {
    match of.default {
        InputDefault::Field => format!("{name} = {name}", name = of.name),
        InputDefault::Required => format!("{}: {}", of.name, of.ty),
        InputDefault::Constant(value) => format!("{}: {} = {value}", of.name, of.ty),
    }
}

/// A parameter with its default, in brackets if it is off by default.
pub(super) fn parameter(of: &Parameter) -> String {
    match of.presence {
        Presence::Required => of.name.to_owned(),
        Presence::Optional => format!("[{}]", of.name),
        Presence::Default(value) => format!("{} = {value}", of.name),
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
    fn calls_are_written_as_in_a_file() {
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
