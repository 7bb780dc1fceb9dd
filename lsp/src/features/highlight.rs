//! Semantic tokens: what to colour, by what each name means.

use crate::names::{Kind, Role, Symbol, Word};
use crate::project::Project;
use crate::view::{Found, ROOT, View};
use aent::plugin::AnyEntry;
use aent::span::{SourceId, Span};
use aent::syntax::{Token, tokens};
use lsp_types::{Range, SemanticToken, SemanticTokens, SemanticTokensLegend, Uri};
use std::collections::HashMap;

/// The kinds of tokens, in the order of their numbers.
const TYPES: [&str; 12] = [
    "keyword",
    "variable",
    "parameter",
    "property",
    "function",
    "method",
    "class",
    "namespace",
    "number",
    "string",
    "comment",
    "operator",
];

/// What is said besides, in the order of their bits.
const MODIFIERS: [&str; 3] = ["declaration", "readonly", "defaultLibrary"];

const DECLARATION: u32 = 1;
const READONLY: u32 = 2;
const LIBRARY: u32 = 4;

/// What the numbers of kinds and modifiers mean.
pub(crate) fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: TYPES.map(str::to_owned).to_vec(),
        token_modifiers: MODIFIERS.map(str::to_owned).to_vec(),
    }
}

/// The tokens of a file, or of a range of it.
pub(crate) fn highlights(project: &mut Project, uri: &Uri, range: Option<Range>) -> SemanticTokens {
    let view = project.view(uri);
    let within = range.map_or(Span::new(ROOT, 0, view.text().len()), |range| view.span(range));
    let words: HashMap<u32, Found<'_>> =
        view.words(ROOT).map(|found| (found.word.span.start, found)).collect();
    let mut data = Vec::new();
    let (mut line, mut column) = (0, 0);
    let mut done = 0;
    for token in tokens(SourceId(0), view.text()) {
        if token.span.end < within.start || token.span.start > within.end || token.span.start < done {
            continue;
        }
        let found = words.get(&token.span.start);
        let colour = match found {
            Some(found) => name(&view, found),
            None => plain(token.node).map(|kind| (kind, 0)),
        };
        let Some((kind, modifiers)) = colour else { continue };
        // A plugin's name is one token with its `::`, unless it goes on on the next line.
        let whole = found.map_or(token.span, |found| found.word.span);
        let span = if view.part(whole).contains(['\n', '\r']) { token.span } else { whole };
        done = span.end;
        let start = view.range(span).start;
        let delta_start = if start.line == line { start.character - column } else { start.character };
        data.push(SemanticToken {
            delta_line: start.line - line,
            delta_start,
            length: view.lines(ROOT).length(view.part(span)),
            token_type: TYPES.iter().position(|of| *of == kind).unwrap_or_default() as u32,
            token_modifiers_bitset: modifiers,
        });
        (line, column) = (start.line, start.character);
    }
    SemanticTokens { result_id: None, data }
}

fn plain(token: Token) -> Option<&'static str> {
    match token {
        Token::Reserved => Some("keyword"),
        Token::Name => Some("variable"),
        Token::Number => Some("number"),
        Token::String => Some("string"),
        Token::Comment => Some("comment"),
        Token::Symbol => Some("operator"),
        Token::Unknown => None,
    }
}

/// The colour of a name; none where nobody knows it.
fn name(view: &View, found: &Found<'_>) -> Option<(&'static str, u32)> {
    let Word { role, .. } = found.word;
    if role == Role::Language {
        return Some(("keyword", 0));
    }
    let defined = if matches!(role, Role::Definition(_)) { DECLARATION } else { 0 };
    Some(match view.symbol(found)? {
        Symbol::Defined(of) => match of.kind {
            Kind::Param => ("parameter", defined | READONLY),
            Kind::Parameter => ("parameter", defined),
            Kind::Input | Kind::Extra | Kind::Loss | Kind::Metric => ("property", defined),
            Kind::Let | Kind::Step | Kind::Controller => ("variable", defined),
            Kind::Function => ("function", defined),
            Kind::Alias => ("namespace", defined),
        },
        Symbol::Field(_) | Symbol::Vocabulary(_) | Symbol::Step => ("property", LIBRARY),
        Symbol::Entry(AnyEntry::Controller(_)) => ("class", LIBRARY),
        Symbol::Entry(AnyEntry::Reduction(_)) => ("method", LIBRARY),
        Symbol::Builtin(_) | Symbol::Entry(AnyEntry::Term(_)) => ("function", LIBRARY),
        Symbol::Argument(..) => ("parameter", 0),
        Symbol::Extra(..) => ("property", 0),
    })
}
