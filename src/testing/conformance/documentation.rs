//! Checks the declaration of an entry.

use crate::plugin::{AnyEntry, Input, Literal, Parameter, check_argument};

/// What is wrong with an entry's declaration.
pub(super) fn check(entry: AnyEntry) -> Vec<String> {
    let declaration = entry.declaration();
    let docs = declaration.docs;
    let mut findings = Vec::new();
    let mut expect = |holds: bool, message: &str| {
        if !holds {
            findings.push(message.to_owned());
        }
    };
    let first = docs.lines().next().unwrap_or_default();
    expect(first.ends_with('.'), "the documentation begins with one sentence on one line");
    expect(docs.contains("Formula"), "the documentation has a paragraph that begins with `Formula`");
    expect(docs.contains("Source:"), "the documentation has a paragraph that begins with `Source:`");
    expect(declaration.example.contains(declaration.name), "the example is a call of the entry");
    expect(
        !declaration.owner.is_empty() && !declaration.version.is_empty(),
        "an owner and its version are named",
    );
    for parameter in declaration.parameters {
        expect(
            is_sentence(parameter.docs),
            &format!("the line about `{}` begins with a capital and ends with a full stop", parameter.name),
        );
        let fits = parameter.default_value().is_none_or(|value| fits(parameter, value));
        expect(fits, &format!("the default of `{}` is of its type and within its limits", parameter.name));
        let taken = inputs(entry).iter().any(|input| input.name == parameter.name);
        expect(!taken, &format!("`{}` is a parameter or an input, not both", parameter.name));
    }
    for input in inputs(entry) {
        let known = crate::fields::find(input.name).is_some();
        expect(known || is_sentence(input.docs), &format!("the input `{}` has a line about it", input.name));
    }
    if let AnyEntry::Term(entry) = entry {
        for extra in &entry.signature().extras {
            expect(is_sentence(extra.docs), &format!("the extra `{}` has a line about it", extra.name));
        }
    }
    findings
}

fn inputs(entry: AnyEntry) -> &'static [Input] {
    match entry {
        AnyEntry::Term(entry) => &entry.signature().inputs,
        AnyEntry::Reduction(entry) => &entry.signature().inputs,
        AnyEntry::Controller(_) => &[],
    }
}

fn is_sentence(text: &str) -> bool {
    text.ends_with('.') && !text.starts_with(char::is_lowercase)
}

fn fits(parameter: &Parameter, value: Literal) -> bool {
    let rises = if let Literal::Range(lo, hi) = value { lo <= hi } else { true };
    rises && check_argument(parameter, &value.into()).is_ok()
}
