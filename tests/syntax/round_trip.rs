//! Properties: what is printed parses to the same tree, and no text makes the parser panic.

use crate::shape;
use aent::span::{SourceId, Span, Spanned};
use aent::syntax::ast::{Arg, ArgValue, BinaryOp, Call, Expr, ExprKind, Number, StatementKind, UnaryOp};
use aent::syntax::{parse, print};
use proptest::prelude::*;

const FILES: [&str; 4] = [
    include_str!("aent.aent"),
    include_str!("layout.aent"),
    include_str!("comments.aent"),
    include_str!("edition.aent"),
];

fn expr(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}_", Just("advantages".to_owned()), Just("letx".to_owned()), Just("e3".to_owned())]
}

fn leaf() -> impl Strategy<Value = Expr> {
    let number = prop_oneof![Just("1"), Just("0.2"), Just("1e-3"), Just("1_000"), Just("30%"), Just("2.50")];
    prop_oneof![
        3 => name().prop_map(|name| expr(ExprKind::Name(name))),
        2 => number.prop_map(|text| {
            let value: f64 = text.replace('_', "").trim_end_matches('%').parse().expect("a number");
            let value = if text.ends_with('%') { value / 100.0 } else { value };
            expr(ExprKind::Number(Number { value, text: text.to_owned() }))
        }),
        1 => any::<bool>().prop_map(|value| expr(ExprKind::Bool(value))),
        1 => "[a-z \"\\\\#é(]{0,6}".prop_map(|text| expr(ExprKind::String(text))),
    ]
}

fn binary_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mul, Ne, Or, Pow, Sub};
    proptest::sample::select(vec![Or, And, Lt, Le, Gt, Ge, Eq, Ne, Add, Sub, Mul, Div, Pow])
}

fn tree() -> impl Strategy<Value = Expr> {
    leaf().prop_recursive(7, 60, 3, |inner| {
        let value = prop_oneof![
            4 => inner.clone().prop_map(ArgValue::Expr),
            1 => (inner.clone(), inner.clone()).prop_map(|(lo, hi)| ArgValue::Range { lo, hi }),
        ];
        let arg = (proptest::option::of(name()), value).prop_map(|(name, value)| Arg {
            name: name.map(|name| Spanned::new(name, Span::default())),
            value,
            span: Span::default(),
        });
        let callee = prop_oneof![name(), Just("acme::my_term".to_owned())];
        let call = (callee, proptest::collection::vec(arg, 0..4)).prop_map(|(callee, args)| {
            expr(ExprKind::Call(Call { callee: Spanned::new(callee, Span::default()), args }))
        });
        let unary = prop_oneof![Just(UnaryOp::Neg), Just(UnaryOp::Not)];
        let unary = (unary, inner.clone())
            .prop_map(|(op, operand)| expr(ExprKind::Unary { op, operand: Box::new(operand) }));
        let field = (inner.clone(), name()).prop_map(|(base, field)| {
            expr(ExprKind::Field { base: Box::new(base), field: Spanned::new(field, Span::default()) })
        });
        let binary = (binary_op(), inner.clone(), inner).prop_map(|(op, left, right)| {
            let (left, right) = (Box::new(left), Box::new(right));
            expr(ExprKind::Binary { op, op_span: Span::default(), left, right })
        });
        prop_oneof![4 => binary, 2 => call, 1 => unary, 1 => field]
    })
}

/// Where an edit may happen, what it removes, and what it puts there.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
    let piece = proptest::sample::select(vec![
        "", " ", "\n", "(", ")", ",", "=", "-", "not ", "..", ".", "# c\n", "\"", "'", "let ", "loss = ",
        "in ", "1e", "%", "^", "<", "==", "x", "::", "é", "{", "}", "return ", "as ", "\u{feff}", "\r\n",
        "/*", "!", "\\",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..4_usize, piece.prop_map(str::to_owned));
    proptest::collection::vec(edit, 1..6)
}

/// Checks that a text that parses is printed to the same tree, once and for all, with all its comments in their order.
fn check_round_trip(text: &str) -> Result<(), TestCaseError> {
    let (file, diagnostics) = parse(SourceId(0), text);
    for diagnostic in &diagnostics {
        let place = diagnostic.span.start as usize..diagnostic.span.end as usize;
        prop_assert!(text.get(place).is_some(), "{diagnostic:?}");
    }
    if !diagnostics.is_empty() {
        return Ok(());
    }
    let printed = print(&file, text);
    let (again, diagnostics) = parse(SourceId(0), &printed);
    prop_assert!(diagnostics.is_empty(), "{printed}\n{diagnostics:?}");
    prop_assert_eq!(shape::file(&again), shape::file(&file));
    let comments =
        |file: &aent::syntax::ast::File| file.comments.iter().map(|of| of.node.clone()).collect::<Vec<_>>();
    prop_assert_eq!(comments(&again), comments(&file));
    prop_assert_eq!(print(&again, &printed), printed);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_expression_parses_to_the_same_tree(tree in tree()) {
        let text = format!("let it = {tree}");
        let (file, diagnostics) = parse(SourceId(0), &text);
        prop_assert!(diagnostics.is_empty(), "{text}\n{diagnostics:?}");
        let StatementKind::Let { value, .. } = &file.statements[0].kind else { panic!("{file:?}") };
        prop_assert_eq!(shape::expr(value), shape::expr(&tree));
        check_round_trip(&text)?;
    }

    #[test]
    fn a_file_with_a_comment_anywhere_keeps_it(
        file in proptest::sample::select(FILES.to_vec()),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let mut text = file.to_owned();
        for (number, place) in places.iter().enumerate() {
            let blanks: Vec<usize> = text.match_indices([' ', '\n']).map(|(at, _)| at).collect();
            text.insert_str(blanks[place.index(blanks.len())], &format!(" # comment {number}\n"));
        }
        check_round_trip(&text)?;
    }

    #[test]
    fn no_edit_of_a_file_makes_the_parser_panic(
        file in proptest::sample::select(FILES.to_vec()),
        edits in edits(),
    ) {
        let mut text = file.to_owned();
        for (place, removed, added) in edits {
            let characters: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let from = place.index(characters.len());
            let to = (from + removed).min(characters.len() - 1);
            text.replace_range(characters[from]..characters[to], &added);
        }
        check_round_trip(&text)?;
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z0-9 .,=()+*^<>!&\"'#%:\\\\/;\n\réβ-]{0,60}") {
        check_round_trip(&text)?;
        check_round_trip(&format!("let a = {text}"))?;
    }
}
