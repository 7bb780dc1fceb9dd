//! Ever larger selections: a word, its formula, its argument, the call, the statement, the file.

use crate::names::part;
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::span::Span;
use aent::syntax::ast::{Arg, ArgValue, Call, Expr, ExprKind, StatementKind};
use lsp_types::{Position, SelectionRange, Uri};

/// The selections around each position.
pub(crate) fn ranges(project: &mut Project, uri: &Uri, positions: &[Position]) -> Vec<SelectionRange> {
    let view = project.view(uri);
    positions.iter().map(|position| range(&view, view.offset(*position) as u32)).collect()
}

fn range(view: &View, offset: u32) -> SelectionRange {
    let mut spans = formulas(view, offset);
    let text = view.text();
    if let Some(statement) = view.scope.statement_at(ROOT, offset) {
        let of = &view.statements()[statement];
        spans.push(of.span());
        spans.extend(of.tokens.iter().map(|token| token.span));
        for call in &of.calls {
            let end = call.close.map_or(of.span().end, |close| close.end);
            let whole = Span { end, ..call.open };
            spans.push(whole);
            spans.push(Span {
                start: call.open.end,
                end: call.close.map_or(end, |close| close.start),
                ..whole
            });
            if let Some(callee) = call.callee {
                spans.push(of.words[callee].span.to(whole));
            }
        }
    }
    spans.extend(view.analysis.bundle.file(ROOT).comments.iter().map(|comment| comment.span));
    spans.push(Span::new(ROOT, 0, text.len()));
    spans.retain(|span| span.start <= offset && offset <= span.end && !part(text, *span).is_empty());
    spans.sort_by_key(|span| (span.end - span.start, span.start));
    spans.dedup();
    // Of two that cross, at the border of two words, the first one found stays.
    let mut chain: Vec<Span> = Vec::new();
    for span in spans {
        if chain.last().is_none_or(|inner| span.start <= inner.start && inner.end <= span.end) {
            chain.push(span);
        }
    }
    let outwards = chain.into_iter().rev().fold(None, |parent, span| {
        Some(SelectionRange { range: view.range(span), parent: parent.map(Box::new) })
    });
    outwards.unwrap_or_else(|| SelectionRange { range: view.range(Span::new(ROOT, 0, 0)), parent: None })
}

/// The places of all formulas around a byte.
pub(crate) fn formulas(view: &View, offset: u32) -> Vec<Span> {
    let file = view.analysis.bundle.file(ROOT);
    let around = |span: Span| span.start <= offset && offset <= span.end;
    let mut out = Vec::new();
    for statement in file.statements.iter().filter(|of| around(of.span)) {
        match &statement.kind {
            StatementKind::Controller { call, .. } => call_parts(call, &mut out),
            StatementKind::Assert { condition, .. } => parts(condition, &mut out),
            StatementKind::Fn { params, block, body, .. } => {
                params.iter().filter_map(|of| of.default.as_ref()).for_each(|of| parts(of, &mut out));
                block.iter().flat_map(|of| &of.steps).for_each(|step| parts(&step.value, &mut out));
                parts(body, &mut out);
            }
            kind => kind.value().into_iter().for_each(|of| parts(of, &mut out)),
        }
    }
    out.retain(|span| around(*span));
    out
}

/// The places of a formula and of all in it.
fn parts(of: &Expr, out: &mut Vec<Span>) {
    out.push(of.span);
    match &of.kind {
        ExprKind::Call(call) => call_parts(call, out),
        ExprKind::Field { base, .. } => parts(base, out),
        ExprKind::Unary { operand, .. } => parts(operand, out),
        ExprKind::Binary { left, right, .. } => {
            parts(left, out);
            parts(right, out);
        }
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bool(_) | ExprKind::Name(_) => {}
    }
}

fn call_parts(call: &Call, out: &mut Vec<Span>) {
    for Arg { value, span, .. } in &call.args {
        out.push(*span);
        match value {
            ArgValue::Expr(of) => parts(of, out),
            ArgValue::Range { lo, hi } => {
                parts(lo, out);
                parts(hi, out);
            }
        }
    }
}
