//! Which operator binds first, and how numbers and names are read.

use crate::{errors, shape, tree};
use aent::syntax::ast::{ExprKind, StatementKind};

/// Checks that an expression has a tree, written with the operator first.
fn check(text: &str, expected: &str) {
    let file = tree(&format!("let it = {text}"));
    let StatementKind::Let { value, .. } = &file.statements[0].kind else { panic!("{file:?}") };
    assert_eq!(file.statements.len(), 1, "{text}");
    assert_eq!(shape::expr(value), expected, "{text}");
}

fn number(text: &str) -> f64 {
    let file = tree(&format!("let it = {text}"));
    match &file.statements[0].kind {
        StatementKind::Let { value, .. } => match &value.kind {
            ExprKind::Number(number) => number.value,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_operator_binds_tighter_than_the_one_before() {
    check("a or b and c", "[or a [and b c]]");
    check("a and b or c", "[or [and a b] c]");
    check("not a and b", "[and [not a] b]");
    check("a and not b or c", "[or [and a [not b]] c]");
    check("not a < b", "[not [< a b]]");
    check("not not a", "[not [not a]]");
    check("a < b + c", "[< a [+ b c]]");
    check("a + b < c", "[< [+ a b] c]");
    check("a + b * c", "[+ a [* b c]]");
    check("a * b + c", "[+ [* a b] c]");
    check("-a * b", "[* [- a] b]");
    check("a * -b", "[* a [- b]]");
    check("a * -b * c", "[* [* a [- b]] c]");
    check("-a^b", "[- [^ a b]]");
    check("a^b.c", "[^ a [. b c]]");
    check("-f(a).b", "[- [. f(a) b]]");
}

#[test]
fn sums_and_products_go_from_the_left_and_powers_from_the_right() {
    check("a - b - c", "[- [- a b] c]");
    check("a - (b - c)", "[- a [- b c]]");
    check("a / b * c", "[* [/ a b] c]");
    check("a^b^c", "[^ a [^ b c]]");
    check("(a^b)^c", "[^ [^ a b] c]");
    check("a or b or c", "[or [or a b] c]");
}

#[test]
fn a_minus_may_follow_any_operator() {
    check("a^-b", "[^ a [- b]]");
    check("a^-b^c", "[^ a [- [^ b c]]]");
    check("a^-b * c", "[* [^ a [- b]] c]");
    check("a - -b", "[- a [- b]]");
    check("--a", "[- [- a]]");
    check("a < -b", "[< a [- b]]");
}

#[test]
fn all_comparisons_are_known() {
    for op in ["<", "<=", ">", ">=", "==", "!="] {
        check(&format!("a{op}b"), &format!("[{op} a b]"));
    }
    check("(a < b) == (b < c)", "[== [< a b] [< b c]]");
}

#[test]
fn a_line_break_is_a_blank() {
    check("b\n-c", "[- b c]");
    check("f\n(\na\n)\n.\nb", "[. f(a) b]");
    assert_eq!(shape::file(&tree("let a = b\n-c let d = a\r\nloss = d")).len(), 3);
    assert_eq!(shape::file(&tree("let\na\n=\nb")), ["let a b"]);
}

#[test]
fn words_are_whole_words() {
    check("letx + order + nota + trueish", "[+ [+ [+ letx order] nota] trueish]");
    check("lossy * input_length", "[* lossy input_length]");
    check("true and false", "[and <true> <false>]");
    check("acme::my_term(x)", "acme::my_term(x)");
}

#[test]
fn two_points_are_a_range_whatever_stands_around_them() {
    for text in ["f(0.05 .. 0.23)", "f(0.05..0.23)", "f(0.05.. 0.23)"] {
        check(text, "f(0.05=0.05 .. 0.23=0.23)");
    }
    check("f(t = 1..2)", "f(t = 1=1.0 .. 2=2.0)");
    check("f(t = -1 .. 1, 2)", "f(t = [- 1=1.0] .. 1=1.0, 2=2.0)");
    check("f(a.b..c)", "f([. a b] .. c)");
}

#[test]
fn numbers_mean_what_they_say() {
    let same = |text: &str, value: f64| assert_eq!(number(text).to_bits(), value.to_bits(), "{text}");
    same("0", 0.0);
    same("1_000", 1000.0);
    same("1e-3", 0.001);
    same("2.5E+2", 250.0);
    same("1_0.2_5e1_0", 10.25e10);
    same("30%", 0.3);
    same("0.1%", 0.001);
    same("7%", 0.07);
    same("100%", 1.0);
    same("0e-999", 0.0);
}

#[test]
fn params_take_signed_numbers() {
    assert_eq!(shape::file(&tree("param x = -0.5 in - 1 .. 1")), shape::file(&tree("param x=-0.5 in -1..1")),);
    assert_eq!(errors("param x = 1 + 1").len(), 1);
    assert_eq!(errors("param x = y").len(), 1);
}

#[test]
fn strings_have_two_escapes() {
    check(r#"f("a\"b\\c # d")"#, r#"f("a\"b\\c # d")"#);
    check("f(\"é\")", "f(\"é\")");
}

#[test]
fn a_byte_order_mark_and_other_line_ends_are_accepted() {
    assert_eq!(shape::file(&tree("\u{feff}let a = b # c\r\nlet d = a\r\n")), ["let a b", "let d a"]);
}

#[test]
fn every_place_points_at_its_own_text() {
    let text = "let a = f((b + c) * d, e = -g.h) # i";
    let file = tree(text);
    let StatementKind::Let { name, value } = &file.statements[0].kind else { panic!("{file:?}") };
    let at = |span: aent::span::Span| &text[span.start as usize..span.end as usize];
    assert_eq!(at(file.statements[0].span), "let a = f((b + c) * d, e = -g.h)");
    assert_eq!(at(name.span), "a");
    assert_eq!(at(value.span), "f((b + c) * d, e = -g.h)");
    let ExprKind::Call(call) = &value.kind else { panic!("{value:?}") };
    assert_eq!(at(call.callee.span), "f");
    assert_eq!(at(call.args[0].span), "(b + c) * d");
    assert_eq!(at(call.args[1].span), "e = -g.h");
    let aent::syntax::ast::ArgValue::Expr(product) = &call.args[0].value else { panic!("{call:?}") };
    let ExprKind::Binary { op_span, left, right, .. } = &product.kind else { panic!("{product:?}") };
    assert_eq!((at(product.span), at(*op_span)), ("(b + c) * d", "*"));
    assert_eq!((at(left.span), at(right.span)), ("b + c", "d"));
    assert_eq!(at(file.comments[0].span), "# i");
}
