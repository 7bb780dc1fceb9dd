//! A text without errors prints to a text that parses to the same layout and keeps its comments.
#![no_main]

use aent::span::SourceId;
use aent::syntax::{parse, print};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (file, diagnostics) = parse(SourceId(0), text);
    if diagnostics.has_errors() {
        return;
    }
    let printed = print(&file, text);
    let (again, diagnostics) = parse(SourceId(0), &printed);
    assert!(!diagnostics.has_errors(), "{printed}\n{diagnostics:?}");
    assert_eq!(again.statements.len(), file.statements.len(), "{printed}");
    assert_eq!(again.comments.len(), file.comments.len(), "{printed}");
    assert_eq!(print(&again, &printed), printed);
});
