//! Parsing ends, and every place it names lies in the text.
#![no_main]

use aent::span::SourceId;
use aent::syntax::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (file, diagnostics) = parse(SourceId(0), text);
    let statements = file.statements.iter().map(|statement| statement.span);
    for span in diagnostics.iter().map(|diagnostic| diagnostic.span).chain(statements) {
        assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?}");
    }
});
