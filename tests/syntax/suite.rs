//! Every file beside this one, with what the parser says of it, or how it is printed.

use crate::shape;
use aent::source::Source;
use aent::span::SourceId;
use aent::syntax::{parse, print};
use std::fmt::Write as _;

#[test]
fn files_are_answered_as_recorded() {
    insta::glob!("*.aent", |path| {
        let text = std::fs::read_to_string(path).expect("the suite is readable");
        let answer = answer(&text);
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(format!("{text}\n---- answer ----\n{answer}"));
        });
    });
}

fn answer(text: &str) -> String {
    let (file, diagnostics) = parse(SourceId(0), text);
    if diagnostics.is_empty() {
        let printed = print(&file, text);
        let (again, diagnostics) = parse(SourceId(0), &printed);
        assert!(diagnostics.is_empty(), "{printed}\n{diagnostics:?}");
        assert_eq!(shape::file(&again), shape::file(&file));
        assert_eq!(print(&again, &printed), printed);
        return printed;
    }
    let source = Source::new("suite", text);
    let mut out = String::new();
    for error in &diagnostics {
        let (line, column) = source.line_column(error.span.start as usize);
        let place = &text[error.span.start as usize..error.span.end as usize];
        let _ = writeln!(out, "{line}:{column} {}[{}]: {}", error.severity.as_str(), error.id, error.message);
        let _ = writeln!(out, "    at {place:?}");
        for label in &error.labels {
            let (line, column) = source.line_column(label.span.start as usize);
            let _ = writeln!(out, "    {line}:{column} {}", label.message);
        }
        if let Some(help) = &error.help {
            let _ = writeln!(out, "    help: {help}");
        }
    }
    out
}
