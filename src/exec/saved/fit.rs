//! Compares the controllers of a saved state with those of a program.

use super::{SavedController, SessionState};
use crate::exec::error::{Error, Result};
use crate::plugin::{AnyEntry, Controller, ControllerState, Lookup, registry, restore};
use crate::program::{ControllerDecl, Program, argument};
use serde_json::Value;
use std::collections::BTreeSet;

/// The largest count that every JSON reader represents exactly.
const MAX_COUNT: u64 = 1 << 53;

/// How the controllers of a saved state match those of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// The controllers that match.
    pub taken: Vec<String>,
    /// The controllers of the program that the state lacks.
    pub missing: Vec<String>,
    /// The controllers of the state that the program lacks.
    pub unexpected: Vec<String>,
    /// The controllers that differ, each with a description.
    pub changed: Vec<(String, String)>,
    /// Pairs of a missing and an unexpected controller that differ in name only.
    renamed: Vec<(String, String)>,
}

impl Fit {
    /// Compares. Duplicate controllers, and numbers that no run can produce in a matching one, are errors.
    pub(super) fn of(program: &Program, state: &SessionState) -> Result<Self> {
        let mut names = BTreeSet::new();
        if let Some(twice) = state.controllers.iter().find(|saved| !names.insert(saved.name.as_str())) {
            return Err(Error::State(format!("the saved state has controller `{}` twice", twice.name)));
        }
        check_count("steps", state.steps)
            .map_err(|wrong| Error::State(format!("the saved state: {wrong}")))?;
        let mut fit = Self::default();
        for here in &program.controllers {
            let Some(saved) = state.controllers.iter().find(|saved| saved.name == here.name) else {
                fit.missing.push(here.name.clone());
                continue;
            };
            let differs = differences(program, here, saved);
            if !differs.is_empty() {
                fit.changed.push((here.name.clone(), differs.join(", ")));
                continue;
            }
            let count = check_count("observations", saved.state.observations);
            count.and_then(|()| check_state(here, here.object.value.as_ref(), &saved.state)).map_err(
                |wrong| Error::State(format!("controller `{}` in the saved state: {wrong}", here.name)),
            )?;
            fit.taken.push(here.name.clone());
        }
        let here = |name: &str| program.controllers.iter().any(|here| here.name == name);
        let unexpected: Vec<_> = state.controllers.iter().filter(|saved| !here(&saved.name)).collect();
        for name in &fit.missing {
            let Some(here) = program.controllers.iter().find(|here| here.name == *name) else { continue };
            let same = unexpected.iter().filter(|saved| differences(program, here, saved).is_empty());
            fit.renamed.extend(same.map(|saved| (name.clone(), saved.name.clone())));
        }
        fit.unexpected = unexpected.into_iter().map(|saved| saved.name.clone()).collect();
        Ok(fit)
    }

    /// Why the state does not fit the program, followed by the advice `way`. `None` if all of it fits, or if the program
    /// has no controllers.
    pub fn refusal(&self, way: &str) -> Option<String> {
        if self.taken.len() + self.missing.len() + self.changed.len() == 0 {
            return None;
        }
        let mut words = self.words();
        if words.is_empty() {
            return None;
        }
        for (here, saved) in &self.renamed {
            words.push(format!(
                "if `{saved}` was renamed to `{here}`, write that name into the saved state, or name it `{saved}` again"
            ));
        }
        words.push(way.to_owned());
        Some(words.join("; "))
    }

    /// One clause per controller that does not fit.
    pub fn words(&self) -> Vec<String> {
        let changed = self.changed.iter().map(|(name, how)| format!("controller `{name}`: {how}"));
        let missing =
            self.missing.iter().map(|name| format!("controller `{name}` is not in the saved state"));
        let unexpected = self
            .unexpected
            .iter()
            .map(|name| format!("controller `{name}` is in the saved state and not here"));
        changed.chain(missing).chain(unexpected).collect()
    }
}

/// Refuses a state that no run can produce.
pub(in crate::exec) fn check_state(
    controller: &ControllerDecl,
    rule: &dyn Controller,
    state: &ControllerState,
) -> std::result::Result<(), String> {
    let interval = rule.interval();
    let ControllerState { value, memory, .. } = state;
    if !value.is_finite() {
        return Err(format!("expected a finite `value`, found {value}"));
    }
    // Bounds that move may have been elsewhere.
    if controller.moving.is_empty() && !interval.contains(*value) {
        return Err(format!("expected a `value` within {interval}, found {value}"));
    }
    if let Some(wrong) = memory.iter().find(|number| !number.is_finite()) {
        return Err(format!("expected finite numbers in `memory`, found {wrong}"));
    }
    rule.validate(state)
}

/// Refuses a count above [`MAX_COUNT`].
fn check_count(name: &str, found: u64) -> std::result::Result<(), String> {
    if found <= MAX_COUNT {
        return Ok(());
    }
    Err(format!("expected at most {MAX_COUNT} `{name}`, found {found}"))
}

/// The differences between two controllers, one clause each.
fn differences(program: &Program, here: &ControllerDecl, saved: &SavedController) -> Vec<String> {
    if here.object.name() != saved.kind {
        return vec![format!("it is `{}` here and `{}` in the saved state", here.object.name(), saved.kind)];
    }
    let (ours, theirs) = (here.object.args(), completed(&saved.kind, &saved.args));
    let none = serde_json::Map::new();
    let [ours, theirs] = [&ours, &theirs].map(|args| args.as_object().unwrap_or(&none));
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let mut result = Vec::new();
    for name in names {
        let [here, there] = [ours, theirs].map(|args| args.get(name).filter(|value| !value.is_null()));
        if here != there {
            let shown = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), argument);
            result.push(format!("`{name}` is {} here and {} in the saved state", shown(here), shown(there)));
        }
    }
    let signal = here.signal.map(|id| program.expression(id));
    if signal != saved.signal {
        let shown = |signal: &Option<String>| {
            signal.as_ref().map_or("nothing".to_owned(), |of| format!("`{}`", cut(of)))
        };
        result.push(format!(
            "its signal is {} here and {} in the saved state",
            shown(&signal),
            shown(&saved.signal)
        ));
    }
    result
}

/// Saved arguments, completed with the defaults of parameters added since.
fn completed(kind: &str, args: &Value) -> Value {
    let Lookup::Found(AnyEntry::Controller(entry)) = registry().find(kind) else { return args.clone() };
    let rule = args.as_object().and_then(|args| restore(entry, args).ok());
    rule.and_then(|rule| serde_json::to_value(&rule).ok()).unwrap_or_else(|| args.clone())
}

/// An expression, shortened to fit a sentence.
fn cut(text: &str) -> String {
    const LONGEST: usize = 160;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
