//! The canonical layout: what `aent fmt` writes.

use crate::{printed, tree};
use aent::syntax::ast::StatementKind;

/// Checks a layout, and that it is its own layout.
fn check(text: &str, expected: &str) {
    assert_eq!(printed(text), expected);
    assert_eq!(printed(expected), expected);
}

#[test]
fn blanks_are_canonical() {
    check("let  a=b*( c+d )-e^ 2", "let a = b * (c + d) - e^2\n");
    check("param a=30%in 0..1", "param a = 30% in 0 .. 1\n");
    check("param a = - 1", "param a = -1\n");
    check("input a:token  bool input b : seq", "input a: token bool\ninput b: seq\n");
    check("input a:token\nint input b : seq   int", "input a: token int\ninput b: seq int\n");
    check("set temperature=1.0", "set temperature = 1.0\n");
    check("fn f ( a,b=0.1, )=a", "fn f(a, b = 0.1) = a\n");
    check("controller a=band( b , c=0..1 , )", "controller a = band(b, c = 0 .. 1)\n");
    check("import\"std/x.aent\"", "import \"std/x.aent\"\n");
    check("let a = f ( )", "let a = f()\n");
    check("edition  1", "edition 1\n");
    check("param a=\"b\"in\"b\",\"c\"", "param a = \"b\" in \"b\", \"c\"\n");
    check("param a = true param b=false", "param a = true\nparam b = false\n");
    check("loss a=b loss c=d", "loss a = b\nloss c = d\n");
    check("assert a<b ,\"c\"", "assert a < b, \"c\"\n");
    check("import \"a\"as b let c = b.d + b . e ( f )", "import \"a\" as b\nlet c = b.d + b.e(f)\n");
    check(
        "fn f(a){let b=a extra c=b return b*c}",
        "fn f(a) {\n    let b = a\n    extra c = b\n    return b * c\n}\n",
    );
    check("fn f(){return a}", "fn f() {\n    return a\n}\n");
    check("let a = not(b)or- c . d", "let a = not b or -c.d\n");
    check("", "");
    check("\n\n", "");
}

#[test]
fn only_needed_parentheses_stay() {
    check("let a = ((b)) + (c * d)", "let a = b + c * d\n");
    check("let a = b - (c - d)", "let a = b - (c - d)\n");
    check("let a = (b - c) - d", "let a = b - c - d\n");
    check("let a = b + (c + d)", "let a = b + (c + d)\n");
    check("let a = (b^c)^d", "let a = (b^c)^d\n");
    check("let a = b^(c^d)", "let a = b^c^d\n");
    check("let a = (-b)^c", "let a = (-b)^c\n");
    check("let a = -(b^c)", "let a = -b^c\n");
    check("let a = b^(-c)", "let a = b^-c\n");
    check("let a = -(b * c)", "let a = -(b * c)\n");
    check("let a = (b < c) == d", "let a = (b < c) == d\n");
    check("let a = b == (not c)", "let a = b == (not c)\n");
    check("let a = (not b) and (c or d)", "let a = not b and (c or d)\n");
    check("let a = (b + c).d", "let a = (b + c).d\n");
    check("let a = (1).b", "let a = (1).b\n");
}

#[test]
fn numbers_and_strings_stay_as_written() {
    check(
        r#"let a = f(1_000, 2.50, 1E-3, 30%, "a\"b\\")"#,
        "let a = f(1_000, 2.50, 1E-3, 30%, \"a\\\"b\\\\\")\n",
    );
}

#[test]
fn at_most_one_blank_line_stays_between_statements() {
    check("\n\nlet a = b\n\n\n\nlet c = d\nlet e = f\n\n", "let a = b\n\nlet c = d\nlet e = f\n");
    check("# a\n\n\n# b\nlet c = d\r\n\r\n\r\n# e", "# a\n\n# b\nlet c = d\n\n# e\n");
}

#[test]
fn long_calls_have_one_argument_a_line() {
    let (x, y) = ("x".repeat(42), "y".repeat(43));
    check(&format!("let abcd = f({x},{y},)"), &format!("let abcd = f(\n    {x},\n    {y},\n)\n"));
    check(
        &format!("let a = f(b, g({x}, h = {y}))"),
        &format!("let a = f(\n    b,\n    g({x}, h = {y}),\n)\n"),
    );
    check(&format!("let a = g({x}) - b * h({y})"), &format!("let a = g({x})\n    - b * h({y})\n"));
}

#[test]
fn the_formula_of_a_long_function_has_a_line_of_its_own() {
    let (x, y) = ("x".repeat(42), "y".repeat(43));
    let z = "z".repeat(20);
    check(&format!("fn f(a,b=0.1)={x}*{z}"), &format!("fn f(a, b = 0.1) = {x} * {z}\n"));
    check(&format!("fn f({x},b=0.1)=a*{y}"), &format!("fn f({x}, b = 0.1) =\n    a * {y}\n"));
    check(&format!("fn f({x},b={y})=a*b"), &format!("fn f({x}, b = {y}) =\n    a * b\n"));
    check(
        &format!("fn f({x},{y},{z})=a*b"),
        &format!("fn f(\n    {x},\n    {y},\n    {z},\n) =\n    a * b\n"),
    );
}

#[test]
fn a_line_of_the_full_width_is_not_broken() {
    let line = format!("let a = f({}, b)", "x".repeat(100 - "let a = f(, b)".len()));
    check(&line, &format!("{line}\n"));
}

#[test]
fn comments_stay_where_they_were() {
    check("let a = b# c", "let a = b  # c\n");
    check("# a  \n\nlet b = c\n    # d\n", "# a\n\nlet b = c\n# d\n");
    check(
        "let a = f( # b\n  c, # d\n  # e\n  g # h\n  # i\n)",
        "let a = f(\n    # b\n    c,  # d\n    # e\n    g,  # h\n    # i\n)\n",
    );
    check("let a = f(\n# b\n)", "let a = f(\n    # b\n)\n");
    check("fn f(a, # b\n c) = a", "fn f(\n    a,  # b\n    c,\n) =\n    a\n");
    check("loss = a # b\n - c # d\n # e\n + f", "loss = a  # b\n    - c  # d\n    # e\n    + f\n");
}

#[test]
fn comments_in_odd_places_move_above() {
    check("let # a\n b = # c\n d", "# a\n# c\nlet b = d\n");
    check("let a = f(b = # c\n d)", "let a = f(\n    # c\n    b = d,\n)\n");
    check("let a = b\n\nlet c = # d\n e", "let a = b\n\n# d\nlet c = e\n");
}

#[test]
fn comments_inside_parentheses_pass_no_other_comment() {
    check(
        "loss = a\n# b\n+ 2 * (\n# c\nd - e)^2",
        "loss = a\n    # b\n    + 2\n        # c\n        * (d - e)^2\n",
    );
    check("loss = a # b\n + (c # d\n)", "loss = a  # b\n    + c  # d\n");
    check("loss = f(a, # b\n (c # d\n), e)", "loss = f(\n    a,  # b\n    c,  # d\n    e,\n)\n");
    check("loss = f(a # b\n)^(# c\n d)", "loss = f(\n    a,  # b\n)  # c\n    ^d\n");
}

#[test]
fn lines_end_as_the_first_line_does() {
    let unix = "# a\nlet b = f(\n    c,  # d\n)\n\nlet e = b\n";
    let windows = unix.replace('\n', "\r\n");
    check(unix, unix);
    check(&windows, &windows);
    check("let a=b\r\nlet c = d\nlet e = f", "let a = b\r\nlet c = d\r\nlet e = f\r\n");
    check("let a=b\nlet c = d\r\nlet e = f\r\n", "let a = b\nlet c = d\nlet e = f\n");
    check("let a=b", "let a = b\n");
    check("\u{feff}let a=b\r\n", "let a = b\r\n");
}

#[test]
fn an_expression_alone_prints_on_one_line() {
    let long = format!("f({}, g = 0 .. 1) + (b - c)^2", "x".repeat(120));
    let file = tree(&format!("let a = {long}"));
    let StatementKind::Let { value, .. } = &file.statements[0].kind else { panic!("{file:?}") };
    assert_eq!(value.to_string(), long);
}
