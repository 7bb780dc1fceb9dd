//! What the tokens tell is what the parser and the checker say.

use super::statements;
use super::words::{Role, part};
use crate::overlay::Overlay;
use crate::positions::Encoding;
use crate::view::View;
use aent::span::{SourceId, Span};
use aent::syntax::ast::{Arg, ArgValue, Call, Expr, ExprKind, File, StatementKind};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every example, every file of the library, and every example of a finding that parses.
fn texts() -> Vec<String> {
    let files = examples().into_iter().map(|path| fs::read_to_string(path).unwrap());
    let library = aent::load::LIBRARY.iter().map(|(_, text)| (*text).to_owned());
    let codes = aent::diag::codes::CODES.iter();
    let codes = codes.flat_map(|code| [code.example(), code.remedy()]).flatten().map(str::to_owned);
    let all = files.chain(library).chain(codes);
    all.filter(|text| !aent::syntax::parse(SourceId(0), text).1.has_errors()).collect()
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    aent_files::below(&folder, "aent").unwrap()
}

/// A name by its place, with a letter for what it is there for.
type Named = (u32, u32, char);

fn at(span: Span, role: char) -> Named {
    (span.start, span.end, role)
}

/// The names of a tree.
fn of_tree(file: &File, text: &str) -> BTreeSet<Named> {
    let mut out = BTreeSet::new();
    for statement in &file.statements {
        match &statement.kind {
            StatementKind::Controller { name, call, .. } => {
                out.insert(at(name.span, 'd'));
                of_call(call, text, 'k', &mut out);
            }
            StatementKind::Assert { condition, .. } => of_expr(condition, text, &mut out),
            StatementKind::Fn { name, params, block, body } => {
                out.insert(at(name.span, 'd'));
                for param in params {
                    out.insert(at(param.name.span, 'd'));
                    param.default.iter().for_each(|of| of_expr(of, text, &mut out));
                }
                for step in block.iter().flat_map(|of| &of.steps) {
                    out.insert(at(step.name.span, 'd'));
                    of_expr(&step.value, text, &mut out);
                }
                of_expr(body, text, &mut out);
            }
            StatementKind::Import { alias: Some(name), .. }
            | StatementKind::Param { name, .. }
            | StatementKind::Input { name, .. } => drop(out.insert(at(name.span, 'd'))),
            StatementKind::Let { name, value } | StatementKind::Metric { name, value } => {
                out.insert(at(name.span, 'd'));
                of_expr(value, text, &mut out);
            }
            StatementKind::Loss { name, value } => {
                out.extend(name.iter().map(|name| at(name.span, 'd')));
                of_expr(value, text, &mut out);
            }
            kind => kind.value().into_iter().for_each(|of| of_expr(of, text, &mut out)),
        }
    }
    out
}

fn of_expr(of: &Expr, text: &str, out: &mut BTreeSet<Named>) {
    match &of.kind {
        ExprKind::Name(_) => drop(out.insert(at(of.span, 'v'))),
        ExprKind::Call(call) => of_call(call, text, 'c', out),
        ExprKind::Field { base, field } => {
            out.insert(at(field.span, 'm'));
            of_expr(base, text, out);
        }
        ExprKind::Unary { operand, .. } => of_expr(operand, text, out),
        ExprKind::Binary { left, right, .. } => {
            of_expr(left, text, out);
            of_expr(right, text, out);
        }
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bool(_) => {}
    }
}

fn of_call(call: &Call, text: &str, role: char, out: &mut BTreeSet<Named>) {
    let span = call.callee.span;
    match part(text, span).split_once('.') {
        // The function of an import is two names.
        Some((import, function)) => {
            out.insert((span.start, span.start + import.trim_end().len() as u32, 'v'));
            out.insert((span.end - function.trim_start().len() as u32, span.end, 'f'));
        }
        None => drop(out.insert(at(span, role))),
    }
    for Arg { name, value, .. } in &call.args {
        out.extend(name.iter().map(|name| at(name.span, 'a')));
        match value {
            ArgValue::Expr(of) => of_expr(of, text, out),
            ArgValue::Range { lo, hi } => {
                of_expr(lo, text, out);
                of_expr(hi, text, out);
            }
        }
    }
}

#[test]
fn the_names_of_a_text_are_those_of_its_tree() {
    let texts = texts();
    assert!(texts.len() > 150, "{}", texts.len());
    for text in texts {
        let (tree, _) = aent::syntax::parse(SourceId(0), &text);
        let words = statements(SourceId(0), &text).into_iter().flat_map(|of| of.words);
        let words = words.filter_map(|word| {
            let role = match word.role {
                Role::Definition(_) => 'd',
                Role::Value => 'v',
                Role::Callee => 'c',
                Role::Controller => 'k',
                Role::Argument(_) => 'a',
                Role::Member(_) => 'm',
                Role::CalledMember(_) => 'f',
                Role::Language => return None,
            };
            Some(at(word.span, role))
        });
        assert_eq!(words.collect::<BTreeSet<_>>(), of_tree(&tree, &text), "{text}");
    }
}

#[test]
fn each_name_of_a_file_that_checks_has_a_meaning() {
    let overlay = Overlay::new(PathBuf::new());
    let mut names = 0;
    for path in examples() {
        let view = View::new(&path, &overlay, Encoding::Utf16);
        if view.analysis.program.is_none() {
            continue;
        }
        let sources: Vec<SourceId> = view.analysis.bundle.sources.iter().map(|(id, _)| id).collect();
        for found in sources.into_iter().flat_map(|source| view.words(source)) {
            let known = found.word.role == Role::Language || view.symbol(&found).is_some();
            assert!(known, "{}: {}", path.display(), found.text);
            names += 1;
        }
    }
    assert!(names > 2000, "{names}");
}
