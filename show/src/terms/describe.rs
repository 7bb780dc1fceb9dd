//! One term, reduction, controller, function or field on the terminal.

use super::signature::{Known, function as call, input, known, short};
use aent::Builtin;
use aent::fields::Field;
use aent::load::LibraryFn;
use aent::plugin::{AnyEntry, Input, InputDefault, Reach, Signature};
use std::fmt::Write as _;

/// Signature, what else it reads and gives, its documentation, an example and its crate.
pub(super) fn entry(entry: AnyEntry) -> String {
    let info = entry.info();
    let mut out = format!("{}\n\n{}\n", short(entry), docs(info.docs));
    for line in details(entry) {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{line}");
    }
    let _ = write!(
        out,
        "example: {}\n{} of the crate `{}` {}\n",
        info.example,
        entry.kind(),
        info.owner,
        info.version
    );
    out
}

/// A function of the language.
pub(super) fn function(of: &Builtin) -> String {
    format!("{}\n\n{}\n\nfunction of the language\n", call(of), of.docs)
}

/// A function of the library.
pub(super) fn library(of: &LibraryFn) -> String {
    format!(
        "{}\n\n{}\n\n{}\n\nfunction of the library: import \"{}\"\n",
        of.call(),
        of.docs,
        of.text,
        of.file
    )
}

/// A field of the batch.
pub(super) fn field(of: &Field) -> String {
    let gradient = if of.gradient { "with gradient" } else { "no gradient" };
    format!("{}: {}, {gradient}\n\n{}\n\nbatch field\n", of.name, of.ty, of.docs)
}

/// What the signature says beyond the short form, one line each.
pub(super) fn details(entry: AnyEntry) -> Vec<String> {
    let mut lines = Vec::new();
    match known(entry) {
        Some(Known::Term(signature)) => {
            lines.extend(read(&signature.inputs));
            lines.extend(constants(&signature));
            let extras = signature.extras.iter().map(|extra| format!("`.{}` ({})", extra.name, extra.ty));
            let extras = extras.collect::<Vec<_>>().join(", ");
            if !extras.is_empty() {
                lines.push(format!("extras: {extras}"));
            }
            if signature.reach == Reach::Batch {
                lines.push(
                    "looks across the batch: a step cut into micro-batches is measured first".to_owned(),
                );
            }
        }
        Some(Known::Reduction(signature)) => {
            lines.extend(read(&signature.inputs));
            if !signature.additive {
                lines.push("not additive: it needs the whole step at once".to_owned());
            }
        }
        Some(Known::Controller(_)) | None => {}
    }
    lines
}

fn read(inputs: &[Input]) -> Option<String> {
    let fields =
        inputs.iter().filter(|of| of.default == InputDefault::Field).map(|of| format!("`{}`", input(of)));
    let fields = fields.collect::<Vec<_>>().join(", ");
    (!fields.is_empty()).then(|| format!("reads the batch fields {fields}, unless a call gives them by name"))
}

/// Which inputs of a term with gradient have none.
fn constants(signature: &Signature) -> Option<String> {
    let names = signature.inputs.iter().filter(|of| signature.gradient && !of.gradient);
    let names = names.map(|of| format!("`{}`", of.name)).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| format!("constants for the gradient: {names}"))
}

/// With a capital at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The doc comment without the blank that every line of one begins with.
pub(super) fn docs(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned() + "\n"
}

/// What a list shows of the documentation.
pub(super) fn first_sentence(text: &str) -> String {
    let docs = docs(text);
    let paragraph = docs.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    paragraph.trim().trim_end_matches('.').to_owned()
}

/// The first sentence of a comment of the library.
pub(super) fn summary(docs: &str) -> String {
    let text = docs.replace('\n', " ");
    // The dots of a range end no sentence.
    let ends = |(at, _): &(usize, &str)| !text[..*at].ends_with('.');
    let end = text.match_indices(". ").find(ends).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doc_comments_lose_their_leading_blank_and_keep_indented_formulas() {
        assert_eq!(docs(" The mean.\n\n     x / n\n"), "The mean.\n\n    x / n\n");
        assert_eq!(summary("The mean\nover 0 .. 1. More."), "The mean over 0 .. 1");
        assert_eq!(first_sentence(" The mean\n over all.\n\n More.\n"), "The mean over all");
    }
}
