//! Input made to hurt gets an error, on a test thread's two megabytes of stack.

use crate::{errors, tree};
use aent::span::SourceId;
use aent::syntax::{MAX_BYTES, MAX_HEIGHT, MAX_NESTING, parse, print};
use std::time::{Duration, Instant};

const DEEP: usize = 200_000;

/// Checks the id of the first error. The bound only tells linear from quadratic: a run takes far less.
fn check(text: &str, id: &str) {
    let start = Instant::now();
    let found = errors(text);
    let beginning: String = text.chars().take(40).collect();
    assert_eq!(found.first().map(|error| error.id), Some(id), "{beginning}");
    assert!(start.elapsed() < Duration::from_secs(10), "{beginning}: {:?}", start.elapsed());
}

#[test]
fn deep_nesting_is_refused() {
    check(&format!("let a = {}x{}", "(".repeat(DEEP), ")".repeat(DEEP)), "nesting-too-deep");
    check(&format!("let a = {}", "(".repeat(DEEP)), "nesting-too-deep");
    check(&format!("let a = {}x{}", "f(".repeat(DEEP), ")".repeat(DEEP)), "file-too-large");
    check(&format!("let a = {}x{}", "f(".repeat(DEEP / 2), ")".repeat(DEEP / 2)), "nesting-too-deep");
    check(&format!("let a = {}x", "-".repeat(DEEP)), "expression-too-large");
    check(&format!("let a = {}x", "not ".repeat(DEEP / 2)), "expression-too-large");
    check(&format!("let a = {}x", "x^".repeat(DEEP)), "expression-too-large");
    check(&format!("let a = x{}", ".y".repeat(DEEP)), "expression-too-large");
}

#[test]
fn long_rows_are_refused() {
    check(&format!("let a = x{}", " + x".repeat(20_000)), "expression-too-large");
    for link in [" + x", "^x", " and x", ".x"] {
        check(&format!("let a = x{}", link.repeat(MAX_HEIGHT)), "expression-too-large");
    }
    check(&format!("let a = {}x", "-".repeat(MAX_HEIGHT)), "expression-too-large");
    check(&format!("let a = x{}", " < x".repeat(1000)), "chained-comparison");
}

#[test]
fn what_the_limits_allow_is_read_and_printed() {
    let nested = |n: usize| format!("let a = {}x{}", "f(-".repeat(n), ")".repeat(n));
    let summed = |n: usize| format!("let a = x{}", " + x".repeat(n));
    for text in [nested(MAX_NESTING - 1), summed(MAX_HEIGHT - 1)] {
        let file = tree(&text);
        let printed = print(&file, &text);
        assert_eq!(print(&tree(&printed), &printed), printed);
    }
    check(&nested(MAX_NESTING + 1), "nesting-too-deep");
}

#[test]
fn garbage_is_refused() {
    check(&"x".repeat(4 * MAX_BYTES), "file-too-large");
    check(&"$@!".repeat(DEEP / 2), "unexpected-character");
    check(&"\0".repeat(DEEP), "unexpected-character");
    check(&"((((]]".repeat(DEEP / 4), "nesting-too-deep");
    check(&"let ".repeat(DEEP / 2), "expression-too-large");
    check(&"let a=\n".repeat(DEEP / 4), "missing-expression");
    check(&"let a = b ".repeat(DEEP / 5), "file-too-large");
    check(&"' ".repeat(DEEP), "unexpected-character");
    check(&"/**/".repeat(DEEP / 2), "unknown-operator");
    check(&format!("let a = {}", "1".repeat(DEEP)), "invalid-number");
    check(&format!("let a = f(b{}c)", "# d\n".repeat(DEEP / 2)), "syntax-error");
    check(&format!("let a = b{}c", " ".repeat(2 * DEEP)), "syntax-error");
    check(&format!("let a = \"{}", "b".repeat(DEEP)), "unterminated-string");
    check(&format!("f(\n{}", "  loss = (\n".repeat(DEEP / 10)), "nesting-too-deep");
}

#[test]
fn every_prefix_of_a_file_is_answered() {
    let text = include_str!("aent.aent");
    for (end, _) in text.char_indices() {
        parse(SourceId(0), &text[..end]);
        parse(SourceId(0), &text[end..]);
    }
}
