//! Answers to unknown names: where they are defined, what they are called here, or which known name was probably meant.

mod arguments;
mod foreign;

use crate::diag::{Diagnostic, Message};
use crate::load::{LibraryFn, functions};
use crate::near::nearest;
use crate::plugin::{self, Alias, registry};
use arguments::{ARGUMENTS, BOTH_SIDES, CHOICES, translate};
use foreign::{Answer, CALLS, VALUES};

/// What to write for an unknown name: the import or the crate that defines it, or the counterpart of another framework's
/// name. `None` if neither a crate, the library nor a known framework has it.
pub fn elsewhere(name: &str) -> Option<String> {
    let foreign = || foreign::find(CALLS, name).or_else(|| foreign::find(VALUES, name)).map(in_words);
    let argument = || {
        let here = translate(ARGUMENTS, name, |_| true)?;
        Some(format!("as an argument it is called `{here}`"))
    };
    known(name).or_else(foreign).or_else(argument)
}

/// Answers the name of a function or term that does not exist. `near` are the names that could be called there.
pub(super) fn unknown_call<'a>(
    diagnostic: Diagnostic,
    name: &str,
    near: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> Diagnostic {
    answer(diagnostic, name, CALLS, near, || otherwise.to_owned())
}

/// Answers the name of a value that does not exist. `near` are the values that could stand there.
pub(super) fn unknown_value<'a>(
    diagnostic: Diagnostic,
    name: &str,
    near: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    // Torch's functions are named without being called, too.
    let function = || foreign::find(CALLS, name).map(in_words);
    answer(diagnostic, name, VALUES, near, || {
        function().unwrap_or_else(|| format!("if the batch brings it, declare it: `input {name}: token`"))
    })
}

/// What to write for a name of another framework that is used as a value.
pub(super) fn foreign_value(name: &str) -> Option<String> {
    foreign::find(VALUES, name).map(in_words)
}

/// Adds the answer of one table, of the library and of aliases, or else the nearest name.
fn answer<'a>(
    diagnostic: Diagnostic,
    name: &str,
    table: &'static [foreign::Foreign],
    near: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> Diagnostic {
    match foreign::find(table, name) {
        Some(Answer::Name(here)) => diagnostic.write(here),
        Some(Answer::Help(help)) => diagnostic.help(help),
        None => match (known(name), nearest(name, near)) {
            (Some(hint), _) => diagnostic.help(hint),
            (None, Some(near)) => diagnostic.did_you_mean(near),
            (None, None) => diagnostic.help(otherwise()),
        },
    }
}

fn in_words(answer: Answer) -> String {
    match answer {
        Answer::Name(here) => format!("write `{here}`"),
        Answer::Help(help) => help.to_owned(),
    }
}

/// The message for an argument that the callee lacks, with its name here if another framework has it.
pub(super) fn unknown_argument<'a>(
    callee: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Message {
    let names: Vec<&str> = known.into_iter().collect();
    let message = plugin::unknown_argument(callee, name, names.iter().copied());
    if BOTH_SIDES.contains(&name) && names.contains(&"low") && names.contains(&"high") {
        return message.help("give both sides: `low = 0.2, high = 0.2`");
    }
    match translate(ARGUMENTS, name, |here| names.contains(&here)) {
        Some(here) => message.replacement(format!("it is called `{here}` here"), here),
        None => message,
    }
}

/// The choice that was meant by a text: by its name elsewhere, by another spelling, or by a similar one.
pub(super) fn choice(text: &str, choices: &[&'static str]) -> Option<&'static str> {
    translate(CHOICES, text, |here| choices.contains(&here))
        .or_else(|| nearest(text, choices.iter().copied()))
}

/// The name in a crate that is not linked, in the library, or in another framework by what a declaration says.
fn known(name: &str) -> Option<String> {
    registry().link_hint(name).or_else(|| in_the_library(name)).or_else(|| by_another_name(name))
}

fn in_the_library(name: &str) -> Option<String> {
    let found = functions().into_iter().find(|function| function.name == name)?;
    Some(format!("it is in the library: `{}`", import(&found)))
}

fn by_another_name(name: &str) -> Option<String> {
    let entries = registry().iter().map(|entry| {
        let declaration = entry.declaration();
        (declaration.aliases.to_vec(), format!("`{}`", declaration.name))
    });
    let library = functions().into_iter().map(|function| {
        let here = format!("`{}` after `{}`", function.name, import(&function));
        (function.aliases, here)
    });
    let known = |(aliases, here): (Vec<Alias>, String)| {
        let Alias { framework, remark, .. } = aliases.into_iter().find(|alias| alias.name == name)?;
        let comma = if remark.is_empty() { "" } else { ", " };
        Some(format!("what {framework} calls `{name}` is here {here}{comma}{remark}"))
    };
    let found: Vec<String> = entries.chain(library).filter_map(known).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn import(function: &LibraryFn) -> String {
    format!("import \"{}\"", function.file)
}
