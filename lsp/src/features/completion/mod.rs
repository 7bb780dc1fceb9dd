//! Completion: what can stand at the cursor, best first.

mod candidates;
mod place;

use super::signature::is_word;
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::span::{Span, Spanned};
use aent::syntax::Token;
pub(crate) use candidates::Candidate;
use lsp_types::{
    CompletionItem, CompletionItemTextEdit, CompletionList, CompletionParams, Documentation,
    InsertTextFormat, MarkupContent, MarkupKind, TextEdit,
};
use place::Place;
use serde_json::json;

/// What can stand at a position.
pub(crate) fn complete(project: &mut Project, params: &CompletionParams) -> CompletionList {
    let at_position = &params.text_document_position_params;
    let view = project.view(&at_position.text_document.uri);
    let (typed, found) = at(&view, project, view.offset(at_position.position));
    let snippets = project.client.snippets;
    let items = found.into_iter().map(|of| item(&view, of, typed, snippets)).collect();
    CompletionList { is_incomplete: false, items, ..CompletionList::default() }
}

/// What can stand at a byte, best first, and what it replaces.
pub(crate) fn at(view: &View, project: &Project, offset: usize) -> (Typed, Vec<Candidate>) {
    let mut found = Place::at(view, offset).candidates(view, project, offset);
    found.sort_by(|a, b| (a.rank, &a.label).cmp(&(b.rank, &b.label)));
    found.dedup_by(|a, b| a.label == b.label);
    (Typed::at(view, offset), found)
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

/// The part of the text that a completion replaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed {
    /// Its place: a word or what is between quotes, also what of it stands behind the cursor.
    pub(crate) span: Span,
    /// What closes the string that it is in, if that is still missing; none outside of strings.
    closing: Option<&'static str>,
}

impl Typed {
    fn at(view: &View, offset: usize) -> Self {
        let at = offset as u32;
        let tokens = aent::syntax::tokens(ROOT, view.text());
        let around = |of: &&Spanned<Token>| of.span.start < at && at <= of.span.end;
        // A string that is not closed is an unknown word to the language.
        let is_string = |of: &&Spanned<Token>| view.part(of.span).starts_with('"');
        let word = tokens.iter().filter(around).find(|of| is_word(of.node) && !is_string(of));
        if let Some(word) = word {
            return Self { span: word.span, closing: None };
        }
        let string = tokens.iter().filter(around).find(is_string).map(|of| of.span);
        let nothing = Span::new(ROOT, offset, offset);
        let Some(string) = string else { return Self { span: nothing, closing: None } };
        let (text, inside) = (view.part(string), Span { start: string.start + 1, ..string });
        if text.len() == 1 || !text.ends_with('"') {
            Self { span: Span { end: at, ..inside }, closing: Some("\"") }
        } else if at < string.end {
            Self { span: Span { end: string.end - 1, ..inside }, closing: Some("") }
        } else {
            Self { span: nothing, closing: None }
        }
    }

    /// What is written in its place. Within quotes, that is what is between them.
    pub(crate) fn becomes(self, text: &str) -> String {
        self.closing.map_or_else(|| text.to_owned(), |closing| format!("{}{closing}", text.trim_matches('"')))
    }
}

fn item(view: &View, mut of: Candidate, typed: Typed, snippets: bool) -> CompletionItem {
    let snippet = of.snippet.take().filter(|_| snippets);
    let format = snippet.is_some().then_some(InsertTextFormat::Snippet);
    let text = typed.becomes(snippet.as_deref().unwrap_or(of.plain()));
    let import = of.import.map(|(span, text)| vec![TextEdit { range: view.range(span), new_text: text }]);
    CompletionItem {
        sort_text: Some(format!("{}{}", of.rank, of.label)),
        label: of.label,
        kind: Some(of.kind),
        detail: of.detail,
        documentation: of.docs.map(Documentation::String),
        insert_text_format: format,
        text_edit: Some(CompletionItemTextEdit::TextEdit(TextEdit {
            range: view.range(typed.span),
            new_text: text,
        })),
        additional_text_edits: import,
        data: of.entry.map(|name| json!({ "name": name })),
        ..CompletionItem::default()
    }
}
