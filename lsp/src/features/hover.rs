//! What is under the pointer: the meaning of a name, or the value of the smallest formula there.

use super::describe;
use crate::names::{Role, Symbol};
use crate::project::Project;
use crate::view::{Found, ROOT, View};
use aent::span::Span;
use lsp_types::{Contents, Hover, MarkupContent, MarkupKind, TextDocumentPositionParams};

/// The hover at a position.
pub(crate) fn hover(project: &mut Project, at: &TextDocumentPositionParams) -> Option<Hover> {
    let view = project.view(&at.text_document.uri);
    let offset = view.offset(at.position);
    let named = view.word_at(offset).and_then(|found| Some((found.word.span, of_name(&view, &found)?)));
    let (span, value) = named.or_else(|| of_formula(&view, offset as u32))?;
    let contents = Contents::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value });
    Some(Hover { contents, range: Some(view.range(span)) })
}

fn of_name(view: &View, found: &Found<'_>) -> Option<String> {
    let symbol = view.symbol(found)?;
    let mut text = describe::symbol(view, &symbol, found.text);
    // Of a call and of a term without arguments, this one's value is known, too.
    let called = matches!(symbol, Symbol::Entry(_) | Symbol::Builtin(_)) || symbol.definition().is_some();
    if let (true, Some(place)) = (called, call_place(view, found)) {
        let fact = view.fact(place).map(describe::fact).filter(|of| !of.is_empty());
        text = fact.map_or(text.clone(), |fact| format!("{text}\n\nhere: {fact}"));
    }
    Some(text)
}

/// The place of the call of a name.
fn call_place(view: &View, found: &Found<'_>) -> Option<Span> {
    let of = &view.statements()[found.statement];
    let close = of.call_of(found.index)?.close?;
    let start = match found.word.role {
        Role::CalledMember(Some(base)) => of.words[base].span,
        _ => found.word.span,
    };
    Some(start.to(close))
}

/// The value of the smallest formula around a byte that is no name.
fn of_formula(view: &View, offset: u32) -> Option<(Span, String)> {
    let around = super::selection::formulas(view, offset);
    let known =
        around.into_iter().filter(|span| span.source == ROOT).min_by_key(|span| span.end - span.start)?;
    Some((known, describe::fact(view.fact(known)?)))
}
