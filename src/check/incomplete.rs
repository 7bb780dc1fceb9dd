//! Calls that lack arguments which have no default: what is unknown in them is told before what is missing, and everything
//! that is missing at once.

use super::elsewhere::unknown_argument;
use super::{Checker, Reported};
use crate::diag::Diagnostic;
use crate::plugin::{ArgNode, Declaration, Input, InputDefault, Presence};
use crate::syntax::ast::{Arg, Name};

/// What a callee reads besides its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other {
    pub name: &'static str,
    pub required: bool,
    /// Whether it may be given without its name.
    pub positional: bool,
}

impl Other {
    pub(super) fn of(input: &Input) -> Self {
        let required = input.default == InputDefault::Required;
        Self { name: input.name, required, positional: input.positional }
    }
}

impl<'a> Checker<'a> {
    /// Reports a call that lacks parameters; `None` if it lacks none.
    pub(super) fn incomplete(
        &mut self,
        declaration: &Declaration,
        callee: &Name,
        constants: &[ArgNode],
        rest: &[&'a Arg],
        others: &[Other],
    ) -> Option<Reported> {
        let named = |name: &str| {
            let in_rest = |arg: &&Arg| arg.name.as_ref().is_some_and(|of| of.node == name);
            constants.iter().any(|arg| arg.name == name) || rest.iter().any(in_rest)
        };
        let required = |of: &&crate::plugin::Parameter| of.presence == Presence::Required;
        let parameters: Vec<&str> = declaration
            .parameters
            .iter()
            .filter(required)
            .map(|of| of.name)
            .filter(|of| !named(of))
            .collect();
        if parameters.is_empty() {
            return None;
        }
        let mut by_position = others.iter().filter(|of| of.positional).map(|of| of.name);
        let mut given = Vec::new();
        let mut failed = None;
        for arg in rest {
            let Some(name) = &arg.name else {
                let Some(name) = by_position.next() else {
                    let names = others.iter().filter(|of| of.required).map(|of| of.name);
                    let names: Vec<&str> = names.chain(parameters).collect();
                    return Some(self.report(needs_names(arg, callee, &names)));
                };
                given.push(name.to_owned());
                continue;
            };
            if others.iter().all(|of| of.name != name.node) {
                let known = declaration.parameter_names().chain(others.iter().map(|of| of.name));
                let message = unknown_argument(&callee.node, &name.node, known);
                given.extend(message.replacement.clone());
                failed = Some(self.report(message.at(name.span)));
            }
        }
        let others = others.iter().filter(|of| of.required && !named(of.name)).map(|of| of.name);
        let missing: Vec<&str> =
            others.chain(parameters).filter(|name| !given.iter().any(|of| of == name)).collect();
        if !missing.is_empty() {
            failed = Some(self.report(missing_arguments(callee, &missing)));
        }
        failed
    }
}

/// The error for arguments that have no default and are not given.
pub(super) fn missing_arguments(callee: &Name, missing: &[&str]) -> Diagnostic {
    let plural = if missing.len() == 1 { "" } else { "s" };
    let message = format!("`{}` needs the argument{plural} {}", callee.node, listed(missing));
    Diagnostic::error("missing-argument", callee.span, message)
        .help(format!("write `{}`", call(callee, missing)))
}

fn needs_names(arg: &Arg, callee: &Name, names: &[&str]) -> Diagnostic {
    let message = format!("`{}` takes this argument by name", callee.node);
    Diagnostic::error("argument-needs-name", arg.span, message)
        .help(format!("write `{}`", call(callee, names)))
}

/// `band(signal = ..., target = ...)`
fn call(callee: &Name, names: &[&str]) -> String {
    let arguments: Vec<String> = names.iter().map(|name| format!("{name} = ...")).collect();
    format!("{}({})", callee.node, arguments.join(", "))
}

/// `a`, `b` and `c`.
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
