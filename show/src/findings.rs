//! Findings for programs: as JSON, as one line each, as commands of a GitHub workflow.

use aent::diag::{Diagnostic, Diagnostics};
use aent::source::Sources;
use aent::span::Span;
use serde_json::{Value, json};
use std::borrow::Cow;

/// All diagnostics as JSON values, with the keys that other programs read.
pub fn json(found: &Diagnostics, sources: &Sources) -> Vec<Value> {
    let place = |span: Span| {
        let ((line, column), (end_line, end_column)) = ends(span, sources);
        json!({
            "start": span.start,
            "end": span.end,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        })
    };
    let file = |span: Span| sources.get(span.source).name();
    let label =
        |span: Span, message: &str| json!({ "message": message, "span": place(span), "file": file(span) });
    found
        .iter()
        .map(|item| {
            let primary = item.note.iter().map(|note| label(item.span, note));
            let secondary = item.labels.iter().map(|of| label(of.span, &of.message));
            let fix = item.fix.as_ref().map(|of| {
                let edit = json!({
                    "file": file(of.span),
                    "span": place(of.span),
                    "replacement": of.replacement,
                });
                json!({ "edits": [edit] })
            });
            json!({
                "severity": item.severity.as_str(),
                "id": item.id,
                "message": item.message,
                "file": file(item.span),
                "span": place(item.span),
                "labels": primary.chain(secondary).collect::<Vec<_>>(),
                "help": item.help,
                "fix": fix,
            })
        })
        .collect()
}

/// One line for each diagnostic, as editors and `grep` expect it: `file:line:column: severity[id]: message`.
pub fn lines(found: &Diagnostics, sources: &Sources) -> Vec<String> {
    let line = |item: &Diagnostic| {
        let name = plain(sources.get(item.span.source).name());
        let place = match placed(item, sources) {
            Some(((line, column), _)) => format!(":{line}:{column}"),
            None => String::new(),
        };
        let help = item.help.as_ref().map_or_else(String::new, |help| format!(" ({})", plain(help)));
        format!("{name}{place}: {}[{}]: {}{help}", item.severity.as_str(), item.id, plain(&item.message))
    };
    found.iter().map(line).collect()
}

/// One command for each diagnostic that makes GitHub show it beside the line.
pub fn github(found: &Diagnostics, sources: &Sources) -> Vec<String> {
    let command = |item: &Diagnostic| {
        let file = property(sources.get(item.span.source).name());
        let place = match placed(item, sources) {
            Some(((line, column), (end_line, end_column))) if line == end_line => {
                format!(",line={line},col={column},endLine={end_line},endColumn={end_column}")
            }
            // GitHub takes columns only within one line.
            Some(((line, _), (end_line, _))) => format!(",line={line},endLine={end_line}"),
            None => String::new(),
        };
        let severity = item.severity.as_str();
        let message = data(&message(item));
        format!("::{severity} file={file}{place},title={}::{message}", property(item.id))
    };
    found.iter().map(command).collect()
}

/// A diagnostic's message, and below it what helps.
pub(crate) fn message(item: &Diagnostic) -> String {
    let help = item.help.as_ref().map_or_else(String::new, |help| format!("\nhelp: {}", plain(help)));
    format!("{}{help}", plain(&item.message))
}

/// A sentence whose control characters are written out: it may quote a text that has some, and they would end its line, or
/// move the cursor of a terminal.
pub(crate) fn plain(sentence: &str) -> Cow<'_, str> {
    if !sentence.contains(char::is_control) {
        return sentence.into();
    }
    let shown =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    sentence.chars().map(shown).collect::<String>().into()
}

/// One-based line and column of both ends of a diagnostic's place; `None` if it is about the whole file or a value set
/// by the host.
pub(crate) fn placed(item: &Diagnostic, sources: &Sources) -> Option<((usize, usize), (usize, usize))> {
    (item.span.end > 0).then(|| ends(item.span, sources))
}

/// One-based line and column of both ends of a place.
pub(crate) fn ends(span: Span, sources: &Sources) -> ((usize, usize), (usize, usize)) {
    let source = sources.get(span.source);
    (source.line_column(span.start as usize), source.line_column(span.end as usize))
}

/// The text of a GitHub command, with its escapes.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property's value in a GitHub command, with its escapes.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
