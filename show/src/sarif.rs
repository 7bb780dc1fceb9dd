//! Findings as SARIF 2.1.0, the format of code-scanning services: one log with one run.

use crate::findings::{ends, message, placed};
use aent::diag::codes::{CODES, Code};
use aent::diag::{Diagnostic, Diagnostics};
use aent::source::{Source, Sources};
use aent::span::Span;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// A log of all results, with the explanation of each rule that they name.
pub fn sarif_log(results: &[Value]) -> Value {
    let is_named = |code: &&Code| results.iter().any(|result| result["ruleId"] == code.id);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "aent",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": CODES.iter().filter(is_named).map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// The results of one compilation.
pub fn sarif(found: &Diagnostics, sources: &Sources) -> Vec<Value> {
    found.iter().map(|item| result(item, sources)).collect()
}

fn rule(code: &Code) -> Value {
    let first = code.explanation.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    json!({
        "id": code.id,
        "shortDescription": { "text": first.trim() },
        "help": { "text": code.explanation.trim(), "markdown": code.explanation.trim() },
        "defaultConfiguration": { "level": if code.is_lint { "warning" } else { "error" } },
    })
}

fn result(item: &Diagnostic, sources: &Sources) -> Value {
    let mut out = Map::new();
    out.insert("ruleId".to_owned(), item.id.into());
    out.insert("level".to_owned(), item.severity.as_str().into());
    out.insert("message".to_owned(), json!({ "text": message(item) }));
    let place = placed(item, sources).map(|_| item.span);
    out.insert("locations".to_owned(), json!([location(item.span, place, item.note.as_deref(), sources)]));
    let related: Vec<Value> =
        item.labels.iter().map(|of| location(of.span, Some(of.span), Some(&of.message), sources)).collect();
    if !related.is_empty() {
        out.insert("relatedLocations".to_owned(), related.into());
    }
    if let Some(fix) = &item.fix {
        let change = json!({
            "artifactLocation": artifact(sources.get(fix.span.source)),
            "replacements": [{
                "deletedRegion": region(fix.span, sources),
                "insertedContent": { "text": fix.replacement },
            }],
        });
        let description = item.help.as_deref().unwrap_or(&item.message);
        out.insert(
            "fixes".to_owned(),
            json!([{ "description": { "text": description }, "artifactChanges": [change] }]),
        );
    }
    Value::Object(out)
}

/// A file, and the place in it if there is one.
fn location(file: Span, place: Option<Span>, message: Option<&str>, sources: &Sources) -> Value {
    let mut physical = Map::new();
    physical.insert("artifactLocation".to_owned(), artifact(sources.get(file.source)));
    if let Some(place) = place {
        physical.insert("region".to_owned(), region(place, sources));
    }
    let mut out = Map::new();
    out.insert("physicalLocation".to_owned(), physical.into());
    if let Some(message) = message {
        out.insert("message".to_owned(), json!({ "text": message }));
    }
    out.into()
}

fn region(span: Span, sources: &Sources) -> Value {
    let ((line, column), (end_line, end_column)) = ends(span, sources);
    json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column })
}

fn artifact(source: &Source) -> Value {
    json!({ "uri": uri(source.name()) })
}

/// A path as a reference of RFC 3986: relative as it is, absolute with the scheme `file`.
fn uri(path: &str) -> String {
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() };
    let drive = path.as_bytes().get(1) == Some(&b':') && cfg!(windows);
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    } else if drive {
        out.push_str("file:///");
    }
    for &byte in path.strip_prefix("./").unwrap_or(&path).as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) || (byte == b':' && drive) {
            out.push(byte as char);
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./a b/é.aent"), "a%20b/%C3%A9.aent");
        assert_eq!(uri("/x/a.aent"), "file:///x/a.aent");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
        assert_eq!(uri("a:b.aent"), "a%3Ab.aent");
    }
}
