//! Describes a term, reduction, controller, function or field on the terminal.

use super::signature::{function as call, short};
use aent::Builtin;
use aent::fields::{self, Field};
use aent::load::LibraryFn;
use aent::plugin::{Alias, AnyEntry, Extra, Input, InputDefault, Parameter, ParameterType, Presence, Reach};
use std::fmt::Write as _;

/// Signature, documentation, inputs and outputs, an example and its crate.
pub(super) fn entry(entry: AnyEntry) -> String {
    let declaration = entry.declaration();
    let mut out = format!("{}\n\n{}\n", short(entry), body(entry));
    // Writing into a string cannot fail.
    let _ = write!(
        out,
        "Example: {}\n{} of the crate `{}` {}\n",
        declaration.example,
        entry.kind(),
        declaration.owner,
        declaration.version
    );
    out
}

/// Documentation, inputs, parameters, extras and other names, in Markdown.
pub fn body(entry: AnyEntry) -> String {
    let declaration = entry.declaration();
    let mut out = declaration.docs.trim_end().to_owned();
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = write!(out, "\n\n{title}:\n\n- {}", lines.join("\n- "));
        }
    };
    section("Inputs", inputs(entry));
    section("Parameters", declaration.parameters.iter().map(parameter).collect());
    if let AnyEntry::Term(entry) = entry {
        let extra = |of: &Extra| format!("`.{}`, {}{}", of.name, of.ty, about(of.docs));
        section("Extras", entry.signature().extras.iter().map(extra).collect());
    }
    section("Elsewhere", declaration.aliases.iter().map(alias).collect());
    for line in remarks(entry) {
        let _ = write!(out, "\n\n{line}");
    }
    out.push('\n');
    out
}

fn inputs(entry: AnyEntry) -> Vec<String> {
    match entry {
        AnyEntry::Term(entry) => {
            let signature = entry.signature();
            signature.inputs.iter().map(|of| input(of, signature.gradient)).collect()
        }
        AnyEntry::Reduction(entry) => entry.signature().inputs.iter().map(|of| input(of, true)).collect(),
        AnyEntry::Controller(entry) => {
            let signature = entry.signature();
            let signal = signature.signal.then(|| format!("`signal`, scalar: {}", signature.signal_docs));
            signal.into_iter().collect()
        }
    }
}

/// An input with its type, whether it is constant for the gradient, and a line of documentation.
fn input(of: &Input, trains: bool) -> String {
    let constant = if trains && !of.gradient { ", a constant for the gradient" } else { "" };
    let known = fields::find(of.name).filter(|_| of.default == InputDefault::Field).map(|field| field.docs);
    let docs = if of.docs.is_empty() { known.map(sentence).unwrap_or_default() } else { of.docs.to_owned() };
    let default =
        if let InputDefault::Constant(value) = of.default { format!(" = {value}") } else { String::new() };
    format!("`{}{default}`, {}{constant}{}", of.name, of.ty, about(&docs))
}

/// A parameter with its default, its limits and a line of documentation.
pub fn parameter(of: &Parameter) -> String {
    let head = match of.presence {
        Presence::Required => format!("`{}`", of.name),
        Presence::Optional => format!("`{}`, optional", of.name),
        Presence::Default(value) => format!("`{} = {value}`", of.name),
    };
    let limits = of.limits.in_words();
    let values = match (of.ty, limits) {
        (ParameterType::Whole, Some(limits)) => format!(", {} {limits}", of.ty),
        (
            ParameterType::Choice(_) | ParameterType::Whole | ParameterType::Text | ParameterType::Field(_),
            _,
        ) => format!(", {}", of.ty),
        (ParameterType::Range, Some(limits)) => format!(", both ends {}", limits.trim_start_matches("of ")),
        (_, Some(limits)) => format!(", {}", limits.trim_start_matches("of ")),
        (_, None) => String::new(),
    };
    format!("{head}{values}{}", about(of.docs))
}

/// A colon and the documentation, if there is any.
fn about(docs: &str) -> String {
    if docs.is_empty() { String::new() } else { format!(": {docs}") }
}

fn alias(of: &Alias) -> String {
    let comma = if of.remark.is_empty() { "" } else { ", " };
    format!("{}: `{}`{comma}{}", of.framework, of.name, of.remark)
}

/// What is said of an entry that looks across a group.
const OF_GROUPS: &str =
    "It looks across a group: a step in micro-batches is measured first, unless each group is whole in one.";

/// Which statistics of the logits it reads, and what it requires of a step in micro-batches.
fn remarks(entry: AnyEntry) -> Vec<String> {
    let mut lines = Vec::new();
    match entry {
        AnyEntry::Term(entry) => {
            let signature = entry.signature();
            let mut names: Vec<String> =
                signature.rows.iter().map(|row| format!("`{}`", row.statistic.name())).collect();
            names.dedup();
            if !names.is_empty() {
                lines.push(format!("Row statistics: {}.", names.join(", ")));
            }
            match signature.reach {
                Reach::Batch => {
                    lines.push(
                        "It looks across the batch: a step in micro-batches is measured first.".to_owned(),
                    );
                }
                Reach::Group => lines.push(OF_GROUPS.to_owned()),
                Reach::Token | Reach::Sequence => {}
            }
        }
        AnyEntry::Reduction(entry) if entry.signature().reach == Reach::Group => {
            lines.push(OF_GROUPS.to_owned());
        }
        AnyEntry::Reduction(entry) if !entry.signature().additive => {
            lines.push("It is not additive: it needs the whole step at once.".to_owned());
        }
        AnyEntry::Reduction(_) | AnyEntry::Controller(_) => {}
    }
    lines
}

/// A built-in function.
pub(super) fn function(of: &Builtin) -> String {
    format!("{}\n\n{}\n\nfunction of the language\n", call(of), of.docs)
}

/// A library function.
pub(super) fn library(of: &LibraryFn) -> String {
    format!(
        "{}\n\n{}\n{}\n\n{}\n\nfunction of the library: import \"{}\"\n",
        of.call(),
        of.docs,
        of.aliases.iter().fold(String::new(), |out, of| out + "\n" + &alias(of)),
        of.text,
        of.file
    )
}

/// A field of the batch.
pub(super) fn field(of: &Field) -> String {
    let gradient = if of.gradient { "with gradient" } else { "no gradient" };
    format!("{}: {}, {gradient}\n\n{}\n\nbatch field\n", of.name, of.ty, of.docs)
}

/// Starts the text with a capital and ends it with a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(std::iter::once('.')).collect()
}

/// The first paragraph of the documentation, for a list.
pub fn first_sentence(docs: &str) -> String {
    let paragraph = docs.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    paragraph.trim().trim_end_matches('.').to_owned()
}

/// The first sentence of a library function's comment.
pub fn summary(docs: &str) -> String {
    let text = docs.replace('\n', " ");
    // The dots of a range do not end a sentence.
    let ends = |(at, _): &(usize, &str)| !text[..*at].ends_with('.');
    let end = text.match_indices(". ").find(ends).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_the_first_sentence() {
        assert_eq!(summary("The mean\nover 0 .. 1. More."), "The mean over 0 .. 1");
        assert_eq!(first_sentence("The mean\nover all.\n\nMore."), "The mean over all");
    }
}
