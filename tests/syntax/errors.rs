//! Every mistake has its id and its place, and none hides another.

use crate::{errors, shape, tree};
use aent::span::SourceId;
use aent::syntax::{MAX_ERRORS, parse};

/// Checks that a text has exactly one error: its id, the text it points at and a word of its help.
fn check(text: &str, id: &str, place: &str, help: &str) {
    let found = errors(text);
    assert_eq!(found.len(), 1, "{text}\n{found:?}");
    let error = &found[0];
    assert_eq!(error.id, id, "{text}\n{error:?}");
    assert_eq!(&text[error.span.start as usize..error.span.end as usize], place, "{text}\n{error:?}");
    assert!(error.help.as_deref().unwrap_or_default().contains(help), "{text}\n{error:?}");
    for word in ["identifier", "keyword", "EOI", "infix", "operand_"] {
        assert!(!error.message.contains(word), "{error:?}");
    }
}

#[test]
fn habits_from_other_languages_get_the_way_out() {
    check("let a = b && c", "unknown-operator", "&&", "`and`");
    check("let a = b || c", "unknown-operator", "||", "`or`");
    check("let a = !b", "unexpected-character", "!", "`not`");
    check("let a = b;", "unexpected-character", ";", "leave it out");
    check("let a = b ** 2", "unknown-operator", "**", "^");
    check("let a = b // c", "unknown-operator", "// c", "`#`");
    check("/* a */ let b = c", "unknown-operator", "/* a */", "`#`");
    check("let a == b", "syntax-error", "==", "one `=`");
    check("let a = b = c", "syntax-error", "=", "`==`");
    check("let a = if b then c else d", "syntax-error", "b", "where(");
    check("let a = b if c else d", "syntax-error", "if", "where(");
    check("let a = b ? c : d", "unexpected-character", "?", "where(");
    check("let f = lambda x: x", "syntax-error", "x", "`fn ");
    check("let a = 'k3'", "unexpected-character", "'k3'", "`\"k3\"`");
    check("let a = 'k\"3\\'", "unexpected-character", "'k\"3\\'", r#"`"k\"3\\"`"#);
    check("let a = 'k3", "unexpected-character", "'", "begin and end");
    check("let a = [b]", "unexpected-character", "[", "no lists");
    check("let a = +b", "missing-expression", "+", "leave out");
    check("let a = b \u{2212} c", "unexpected-character", "\u{2212}", "`-`");
    check("let a = b\u{a0}", "unexpected-character", "\u{a0}", "blank");
}

#[test]
fn a_fix_joins_no_words() {
    for (text, mended) in [
        ("let a = b&&c", "let a = b and c"),
        ("let a = b||not c", "let a = b or not c"),
        ("let a = b;let c = d", "let a = b let c = d"),
        ("let a = b && c", "let a = b and c"),
        ("let a = f(b = 0...1)", "let a = f(b = 0 .. 1)"),
        ("let a = f(b)&&(c)", "let a = f(b)and(c)"),
    ] {
        let fix = errors(text)[0].fix.clone().expect("a fix");
        let (start, end) = (fix.span.start as usize, fix.span.end as usize);
        assert_eq!(format!("{}{}{}", &text[..start], fix.replacement, &text[end..]), mended);
        tree(mended);
    }
}

#[test]
fn statements_begin_with_a_keyword() {
    check("lett a = b", "unknown-statement", "lett", "`let`");
    check("a = b", "unknown-statement", "a", "`let a = ...`");
    check("def f(x) = x", "unknown-statement", "def", "`fn ");
    check("let a = b\nc = d", "unknown-statement", "c", "`let c = ...`");
    check("let a = b\nreturn a", "unknown-statement", "return", "`loss = ...`");
    check("let a = b c", "syntax-error", "c", "");
}

#[test]
fn words_of_the_language_are_not_names() {
    check("let loss = b", "reserved-word", "loss", "another name");
    check("metric in = b", "reserved-word", "in", "another name");
    check("let a = f(set = b)", "reserved-word", "set", "another name");
    check("let a = f(\n    loss = b,\n)", "reserved-word", "loss", "another name");
    check("let a = b.loss", "reserved-word", "loss", "another name");
    check("let \u{3b2} = b", "invalid-name", "\u{3b2}", "ASCII");
}

#[test]
fn missing_things_are_asked_for_where_they_are_missing() {
    check("let a =", "missing-expression", "=", "");
    check("let a = b +\nlet c = d", "missing-expression", "+", "");
    check("let a = ()", "missing-expression", ")", "inside");
    check("let a = f(b,, c)", "missing-expression", ",", "");
    check("let a = * b", "missing-expression", "*", "left");
    check("let", "syntax-error", "let", "");
    check("controller a = band", "syntax-error", "band", "");
    check("input a = token", "syntax-error", "=", "");
    check("input a: real", "syntax-error", "real", "");
    check("import other", "syntax-error", "other", "");
    check("param a = b", "syntax-error", "b", "");
    check("let a = f(b c)", "syntax-error", "c", "");
    check("let a = b.c(d)", "syntax-error", "(", "no methods");
    check("let a = 0 .. 1", "syntax-error", "..", "argument");
}

#[test]
fn parentheses_without_a_partner_are_shown() {
    check("let a = f(b\nlet c = d", "unclosed-paren", "(", ")");
    check("let a = f(g(b)", "unclosed-paren", "(", ")");
    check("let a = b)", "unmatched-paren", ")", "");
    let unclosed = &errors("let a = f(b\nlet c = d")[0];
    assert_eq!(unclosed.labels.len(), 1);
}

#[test]
fn comparisons_are_not_chained() {
    check("let a = b < c < d", "chained-comparison", "<", "b < c and c < ...");
    check("let a = b + 1 <= c == d", "chained-comparison", "==", "b + 1 <= c and c == ...");
    check("let a = b + not c", "syntax-error", "not", "(not x)");
}

#[test]
fn malformed_numbers_and_strings_are_refused() {
    check("let a = 1.", "invalid-number", "1.", "`1.0`");
    check("let a = .5", "invalid-number", ".5", "`0.5`");
    check("let a = .5x", "invalid-number", ".5x", "begin with a letter");
    check("let a = 1__0", "invalid-number", "1__0", "`10`");
    check("let a = 1_", "invalid-number", "1_", "`1`");
    check("let a = 1e", "invalid-number", "1e", "1e-3");
    check("let a = 1e+", "invalid-number", "1e", "1e-3");
    check("let a = 3abc", "invalid-number", "3abc", "letter");
    check("let a = 0x1f", "invalid-number", "0x1f", "");
    check("let a = 1.2.3", "invalid-number", "1.2.3", "");
    check("let a = 1e999", "invalid-number", "1e999", "308");
    check("let a = 1e-999", "invalid-number", "1e-999", "0");
    check("let a = b % c", "unexpected-character", "%", "30%");
    check("let a = \"b", "unterminated-string", "\"b", "\"");
    check("let a = \"b\\\"", "unterminated-string", "\"b\\\"", "\"");
    check("let a = \"b\\n\"", "invalid-string", "\\n", "\\\\");
}

#[test]
fn one_run_finds_the_errors_of_every_statement() {
    let text = "param a = \nlet b = 2 +\nlet c = 3\nlet d = f(1\nlet e = 4\nfoo\nloss = c + e";
    let (file, diagnostics) = parse(SourceId(0), text);
    let ids: Vec<_> = diagnostics.iter().map(|error| error.id).collect();
    assert_eq!(ids, ["syntax-error", "missing-expression", "unclosed-paren", "unknown-statement"]);
    assert_eq!(shape::file(&file), shape::file(&tree("let c = 3 let e = 4 loss = c + e")));
}

#[test]
fn statements_with_errors_leave_their_names() {
    let (file, _) = parse(SourceId(0), "let a = \nlett b = 1\nc = 2\nloss == a\ncontroller d = 3\nlet e = 1");
    let names: Vec<_> =
        file.broken.iter().map(|it| (it.keyword, it.name.as_ref().map(|it| &*it.node))).collect();
    let expected = [
        (Some("let"), Some("a")),
        (None, Some("b")),
        (None, Some("c")),
        (Some("loss"), None),
        (Some("controller"), Some("d")),
    ];
    assert_eq!(names, expected);
}

#[test]
fn after_many_errors_the_rest_is_counted() {
    let statements = 3 * MAX_ERRORS;
    let found = errors(&"let a =\n".repeat(statements));
    assert_eq!(found.len(), MAX_ERRORS + 1);
    let last = &found[MAX_ERRORS];
    assert_eq!(last.id, "too-many-errors");
    assert!(last.message.contains(&(statements - MAX_ERRORS).to_string()), "{last:?}");
}
