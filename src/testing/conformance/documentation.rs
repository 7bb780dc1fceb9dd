//! What an entry says of itself, compared with what it is.

use crate::plugin::{AnyEntry, parameters};

/// What is wrong with an entry's documentation.
pub(super) fn check(entry: AnyEntry) -> Vec<String> {
    let info = entry.info();
    let docs = info.docs;
    let mut findings = Vec::new();
    let mut expect = |holds: bool, message: String| {
        if !holds {
            findings.push(message);
        }
    };
    let first = docs.lines().next().unwrap_or_default().trim();
    expect(first.ends_with('.'), "the documentation begins with one sentence on one line".to_owned());
    expect(
        docs.contains("Formula"),
        "the documentation has a paragraph that begins with `Formula`".to_owned(),
    );
    expect(
        docs.contains("Source:"),
        "the documentation has a paragraph that begins with `Source:`".to_owned(),
    );
    for parameter in parameters(entry) {
        let name = parameter.name;
        let mentioned = docs.contains(&format!("`{name}`")) || docs.contains(&format!("`{name} "));
        expect(mentioned, format!("the documentation mentions the argument `{name}`"));
    }
    expect(info.example.contains(info.name), "the example is a call of the entry".to_owned());
    expect(
        !info.owner.is_empty() && !info.version.is_empty(),
        "an owner and its version are named".to_owned(),
    );
    findings
}
