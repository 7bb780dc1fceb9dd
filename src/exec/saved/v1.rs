//! States of format 1, which list every value of their program: `Program::identity` of that release.

use super::{FORMAT, SavedController, SessionState};
use crate::exec::error::{Error, Result};
use crate::exec::facts::Fact;
use crate::program::Program;
use serde_json::Value;
use std::collections::HashMap;

/// Converts to the current format, which describes each controller instead of the whole program.
pub(super) fn upgraded(state: &SessionState, program: &Program) -> Result<SessionState> {
    let here = program.identity();
    let controllers = state.controllers.iter().map(|saved| {
        let unreadable = || {
            Error::State(format!(
                "the saved state, of format 1, does not say what controller `{}` is",
                saved.name
            ))
        };
        let Described { kind, args, signal } =
            described(&state.program, &saved.name).ok_or_else(unreadable)?;
        let signal = signal.map(|there| {
            // Signals that differ only in node numbers are equal, and get the current text.
            let same = program.controllers.iter().filter_map(|of| of.signal).find(|id| {
                let id = id.to_string();
                renumbered(&here, &id) == renumbered(&state.program, &there)
            });
            same.map_or_else(|| inlined(&state.program, &there), |id| program.expression(id))
        });
        Ok(SavedController { name: saved.name.clone(), kind, args, signal, state: saved.state.clone() })
    });
    let controllers = controllers.collect::<Result<_>>()?;
    Ok(SessionState { format: FORMAT, steps: state.steps, controllers, program: Vec::new() })
}

struct Described {
    kind: String,
    args: Value,
    /// The value's name, such as `%4`.
    signal: Option<String>,
}

/// Reads `band({"step":0.1}) on %4`.
fn described(facts: &[Fact], name: &str) -> Option<Described> {
    let text = find(facts, &format!("`controller {name}`"))?;
    let (kind, rest) = text.split_once('(')?;
    let (args, signal) = match rest.rsplit_once(") on %") {
        Some((args, id)) if id.parse::<u32>().is_ok() => (args, Some(format!("%{id}"))),
        _ => (rest.strip_suffix(')')?, None),
    };
    Some(Described { kind: kind.to_owned(), args: serde_json::from_str(args).ok()?, signal })
}

fn find<'a>(facts: &'a [Fact], key: &str) -> Option<&'a str> {
    facts.iter().find(|(name, _)| name == key).map(|(_, text)| text.as_str())
}

/// The descriptions of a value and all its operands, renumbered in the order of traversal.
fn renumbered(facts: &[Fact], root: &str) -> Vec<String> {
    let mut numbers: HashMap<String, usize> = HashMap::from([(root.to_owned(), 0)]);
    let mut met = vec![root.to_owned()];
    let mut lines = Vec::new();
    while lines.len() < met.len() {
        let text = find(facts, &format!("value {}", met[lines.len()])).unwrap_or("?");
        let line = with_values(text, &mut |value| {
            let next = numbers.len();
            let number = *numbers.entry(value.to_owned()).or_insert_with(|| {
                met.push(value.to_owned());
                next
            });
            format!("%{number}")
        });
        lines.push(line);
    }
    lines
}

/// A value with its operands inlined, shortened to fit a sentence.
fn inlined(facts: &[Fact], root: &str) -> String {
    const LONGEST: usize = 200;
    let mut text = root.to_owned();
    while text.contains('%') && text.len() < LONGEST {
        let next =
            with_values(&text, &mut |value| find(facts, &format!("value {value}")).unwrap_or("?").to_owned());
        if next == text {
            break;
        }
        text = next;
    }
    with_values(&text, &mut |_| "...".to_owned())
}

/// The text with every reference such as `%4` replaced.
fn with_values(text: &str, replace: &mut dyn FnMut(&str) -> String) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let end = at + 1 + digits;
        result.push_str(&rest[..at]);
        if digits == 0 {
            result.push('%');
        } else {
            result.push_str(&replace(&rest[at..end]));
        }
        rest = &rest[end..];
    }
    result + rest
}
