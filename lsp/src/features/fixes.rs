//! Quick fixes: what the findings themselves suggest, and the comments that silence lints.

use crate::project::Project;
use crate::view::{ROOT, View};
use aent::diag::{Diagnostic, Severity};
use aent::load::functions;
use aent::span::Span;
use aent::syntax::Token;
use lsp_types::{
    Code, CodeAction, CodeActionKind, CodeActionParams, CodeActionResponse, TextEdit, Uri, WorkspaceEdit,
};
use std::collections::HashMap;

/// The fixes for the findings in a range.
pub(crate) fn actions(project: &mut Project, params: &CodeActionParams) -> Vec<CodeActionResponse> {
    let wanted = params.context.only.as_ref().is_none_or(|kinds| {
        kinds.iter().any(|kind| matches!(kind, CodeActionKind::Empty | CodeActionKind::QuickFix))
    });
    if !wanted {
        return Vec::new();
    }
    let uri = &params.text_document.uri;
    let view = project.view(uri);
    let asked = view.span(params.range);
    let here = |item: &&Diagnostic| {
        item.span.source == ROOT && item.span.start <= asked.end && asked.start <= item.span.end
    };
    let mut out = Vec::new();
    for item in view.analysis.bundle.diagnostics.iter().filter(here) {
        let shown = params.context.diagnostics.iter().find(|of| {
            of.range == view.range(item.span) && of.code == Some(Code::String(item.id.to_owned()))
        });
        for fix in fixes(&view, item) {
            let edit = TextEdit { range: view.range(fix.span), new_text: fix.text };
            out.push(CodeActionResponse::CodeAction(CodeAction {
                title: fix.title,
                kind: Some(CodeActionKind::QuickFix),
                diagnostics: shown.map(|of| vec![of.clone()]),
                is_preferred: Some(fix.is_preferred),
                edit: Some(edits(uri.clone(), vec![edit])),
                ..CodeAction::default()
            }));
        }
    }
    out
}

/// Changes of one file.
fn edits(uri: Uri, edits: Vec<TextEdit>) -> WorkspaceEdit {
    WorkspaceEdit { changes: Some(HashMap::from([(uri, edits)])), ..WorkspaceEdit::default() }
}

struct Fix {
    title: String,
    span: Span,
    text: String,
    is_preferred: bool,
}

fn fixes(view: &View, item: &Diagnostic) -> Vec<Fix> {
    let mut out = Vec::new();
    if let Some(fix) = item.fix.as_ref().filter(|fix| fix.span.source == ROOT) {
        let title = match item.help.as_deref() {
            Some(help) if help.contains(fix.replacement.trim()) && !fix.replacement.trim().is_empty() => {
                help.to_owned()
            }
            _ if fix.replacement.trim().is_empty() => format!("remove `{}`", view.part(fix.span)),
            _ => format!("write `{}`", fix.replacement.trim()),
        };
        out.push(Fix { title, span: fix.span, text: fix.replacement.clone(), is_preferred: true });
    }
    if item.id == "unknown-name" && item.fix.is_none() {
        out.extend(import(view, item).into_iter().chain(input(view, item)));
    }
    if matches!(item.id, "entropy-sign" | "loss-sign") {
        out.extend(sign(view, item));
    }
    if item.severity == Severity::Warning && item.id != "unknown-directive" {
        out.extend(silence(view, item));
    }
    out
}

/// Imports the file of the library that has a function.
fn import(view: &View, item: &Diagnostic) -> Option<Fix> {
    let name = view.part(item.span);
    let function = functions().into_iter().find(|of| of.name == name)?;
    let (span, text) = import_of(view, &function.file);
    Some(Fix { title: format!("import \"{}\"", function.file), span, text, is_preferred: true })
}

/// The place and the text of one more import: after the last one, or above the first statement and its comment.
pub(crate) fn import_of(view: &View, file: &str) -> (Span, String) {
    let text = view.text();
    let ending = ending(text);
    let line = format!("import \"{file}\"");
    let last = view.statements().iter().rev().find(|of| matches!(of.keyword, "import" | "edition"));
    if let Some(last) = last {
        let end = last.span().end;
        return (Span { start: end, ..last.span() }, format!("{ending}{line}"));
    }
    let first = view.statements().first().map_or(text.len(), |of| of.span().start as usize);
    // The comment that a file begins with is about the file.
    let at = match above(text, first) {
        0 => text[..first].rfind('\n').map_or(0, |end| end + 1),
        at => at,
    };
    (Span::new(ROOT, at, at), format!("{line}{ending}{ending}"))
}

/// Where the line of a statement begins, or the comment above it.
fn above(text: &str, at: usize) -> usize {
    let line = |end: usize| text[..end].rfind('\n').map_or(0, |end| end + 1);
    let mut start = line(at);
    while start > 0 && text[line(start - 1)..start].trim_start().starts_with('#') {
        start = line(start - 1);
    }
    start
}

/// How the lines of a text end.
fn ending(text: &str) -> &'static str {
    if text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r')) { "\r\n" } else { "\n" }
}

/// Declares a batch field.
fn input(view: &View, item: &Diagnostic) -> Option<Fix> {
    let (_, rest) = item.help.as_deref()?.split_once("declare it: `")?;
    let line = rest.strip_suffix('`')?;
    let statement = view.scope.statement_at(ROOT, item.span.start)?;
    let start = above(view.text(), view.statements()[statement].span().start as usize);
    Some(Fix {
        title: format!("declare `{line}`"),
        span: Span::new(ROOT, start, start),
        text: format!("{line}{}", ending(view.text())),
        is_preferred: false,
    })
}

/// Turns the sign of the innermost summand around a place.
fn sign(view: &View, item: &Diagnostic) -> Option<Fix> {
    let statement = view.scope.statement_at(ROOT, item.span.start)?;
    let tokens = &view.statements()[statement].tokens;
    let first = tokens.iter().position(|token| token.span.start == item.span.start)?;
    let text = |at: usize| view.part(tokens[at].span);
    // From the place outwards, past whatever closes before it.
    let mut closed = 0_usize;
    for at in (1..first).rev() {
        match text(at) {
            ")" => closed += 1,
            "(" => closed = closed.saturating_sub(1),
            _ if closed > 0 => {}
            "+" | "-" => {
                let is_infix =
                    matches!(tokens[at - 1].node, Token::Name | Token::Number) || text(at - 1) == ")";
                let turned = match (text(at), is_infix) {
                    ("+", _) => "-",
                    (_, true) => "+",
                    (_, false) => "",
                };
                return Some(turned_sign(tokens[at].span, turned));
            }
            "=" => {
                let next = tokens[at + 1].span;
                return Some(turned_sign(Span { end: next.start, ..next }, "-"));
            }
            "," => return None,
            _ => {}
        }
    }
    None
}

fn turned_sign(span: Span, text: &str) -> Fix {
    Fix { title: "turn its sign".to_owned(), span, text: text.to_owned(), is_preferred: true }
}

/// Silences a lint above its statement.
fn silence(view: &View, item: &Diagnostic) -> Option<Fix> {
    let statement = view.scope.statement_at(ROOT, item.span.start)?;
    let at = view.statements()[statement].span().start as usize;
    let text = view.text();
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let ending = ending(text);
    // A statement behind another one on its line gets a line of its own.
    let (at, before) = if text[start..at].trim().is_empty() { (start, "") } else { (at, ending) };
    Some(Fix {
        title: format!("silence `{}` for this statement", item.id),
        span: Span::new(ROOT, at, at),
        text: format!("{before}# aent: allow({}){ending}", item.id),
        is_preferred: false,
    })
}
