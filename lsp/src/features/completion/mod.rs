//! Completion: what can stand at the cursor, best first.

mod candidates;
mod place;

use super::signature::is_word;
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::span::Span;
use candidates::Candidate;
use lsp_types::{
    CompletionItem, CompletionItemTextEdit, CompletionList, CompletionParams, Documentation,
    InsertTextFormat, MarkupContent, MarkupKind, TextEdit,
};
use place::Place;
use serde_json::json;

/// What can stand at a position.
pub(crate) fn complete(project: &mut Project, params: &CompletionParams) -> CompletionList {
    let at = &params.text_document_position_params;
    let view = project.view(&at.text_document.uri);
    let offset = view.offset(at.position);
    let typed = typed(&view, offset);
    let place = Place::at(&view, offset);
    let mut items: Vec<Candidate> = place.candidates(&view, project, offset);
    items.sort_by(|a, b| (a.rank, &a.label).cmp(&(b.rank, &b.label)));
    items.dedup_by(|a, b| a.label == b.label);
    let snippets = project.client.snippets;
    let items = items.into_iter().map(|of| item(&view, of, typed, snippets)).collect();
    CompletionList { is_incomplete: false, items, ..CompletionList::default() }
}

/// Adds what is said of a candidate, which a client asks for when it shows one.
pub(crate) fn resolve(mut item: CompletionItem) -> CompletionItem {
    let name = item.data.as_ref().and_then(|data| data.get("name")).and_then(|name| name.as_str());
    if let Some(text) = name.and_then(|name| aent_show::term(name).ok()) {
        // The first line is the call.
        let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let value = format!("```aent\n{head}\n```\n{rest}");
        item.documentation =
            Some(Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value }));
    }
    item
}

/// The part of a word or a string before the cursor, with the rest of it behind.
fn typed(view: &View, offset: usize) -> Span {
    let at = offset as u32;
    let tokens = aent::syntax::tokens(ROOT, view.text());
    let word = tokens.iter().find(|of| of.span.start < at && at <= of.span.end && is_word(of.node));
    if let Some(word) = word {
        return word.span;
    }
    let string = tokens.iter().find(|of| of.span.start < at && at <= of.span.end);
    match string.map(|of| (of.span, view.part(of.span))) {
        Some((span, text)) if text.starts_with('"') => {
            let closed = text.len() > 1 && text.ends_with('"');
            let end = if closed && at < span.end { span.end - 1 } else { at };
            Span { start: span.start + 1, end, ..span }
        }
        _ => Span::new(ROOT, offset, offset),
    }
}

fn item(view: &View, of: Candidate, typed: Span, snippets: bool) -> CompletionItem {
    let (text, format) = match (of.snippet, snippets) {
        (Some(snippet), true) => (snippet, Some(InsertTextFormat::Snippet)),
        _ => (of.insert.unwrap_or_else(|| of.label.clone()), None),
    };
    // Inside of quotes that are written already, only what is between them is inserted.
    let quoted = typed.start > 0 && view.text().as_bytes()[typed.start as usize - 1] == b'"';
    let text = if quoted { text.trim_matches('"').to_owned() } else { text };
    let import = of.import.map(|(span, text)| vec![TextEdit { range: view.range(span), new_text: text }]);
    CompletionItem {
        sort_text: Some(format!("{}{}", of.rank, of.label)),
        label: of.label,
        kind: Some(of.kind),
        detail: of.detail,
        documentation: of.docs.map(Documentation::String),
        insert_text_format: format,
        text_edit: Some(CompletionItemTextEdit::TextEdit(TextEdit {
            range: view.range(typed),
            new_text: text,
        })),
        additional_text_edits: import,
        data: of.entry.map(|name| json!({ "name": name })),
        ..CompletionItem::default()
    }
}
