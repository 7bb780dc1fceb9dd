//! The signature of the call around the cursor, with the argument that is being written.

use super::describe;
use crate::names::{Argument, Kind, Statement, Symbol, part, tensors};
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::span::Span;
use aent::syntax::Token;
use lsp_types::{
    ActiveParameter, Documentation, MarkupContent, MarkupKind, ParameterInformation,
    ParameterInformationLabel, SignatureHelp, SignatureInformation, TextDocumentPositionParams,
};

/// An argument that a call can give.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Its name.
    pub(crate) name: String,
    /// As the signature shows it.
    pub(crate) label: String,
    /// What is said of it, in Markdown.
    pub(crate) docs: String,
    /// Its default as written, if it has one.
    pub(crate) default: Option<String>,
    /// Whether a call may leave out its name.
    pub(crate) positional: bool,
    /// Whether a call must give it.
    pub(crate) required: bool,
    /// Its declaration, if it belongs to a registered object and not to a `fn` of a file.
    pub(crate) argument: Option<Argument>,
}

/// The signature at a position.
pub(crate) fn help(project: &mut Project, at: &TextDocumentPositionParams) -> Option<SignatureHelp> {
    let view = project.view(&at.text_document.uri);
    let offset = view.offset(at.position);
    let (statement, read) = reading(&view, offset)?;
    // The innermost call that has a name; parentheses around a part of an argument belong to it.
    let index = *read.open.iter().rev().find(|index| read.calls[**index].callee.is_some())?;
    let call = &read.calls[index];
    let callee = call.callee?;
    let symbol = view.scope.symbol(&view.analysis.bundle, ROOT, statement, callee)?;
    let name = view.part(read.words[callee].span);
    let slots = slots(&view, &symbol);
    let whole = &view.statements()[statement];
    let named = whole.argument_before(index, call.last, offset as u32);
    let named = named.map(|word| view.part(whole.words[word].span));
    let positional = || slots.iter().enumerate().filter(|(_, slot)| slot.positional).map(|(at, _)| at);
    let active = match (named, &symbol) {
        (Some(named), _) => slots.iter().position(|slot| slot.name == named),
        // `min` and `max` take any number of values.
        (None, Symbol::Builtin(_)) => positional().nth(call.commas).or_else(|| positional().next_back()),
        (None, _) => positional().nth(call.commas),
    };
    let mut label = format!("{name}(");
    let mut parameters = Vec::new();
    for (index, slot) in slots.iter().enumerate() {
        if index > 0 {
            label.push_str(", ");
        }
        let start = utf16(&label);
        label.push_str(&slot.label);
        parameters.push(ParameterInformation {
            label: ParameterInformationLabel::Tuple((start, utf16(&label))),
            documentation: Some(markdown(slot.docs.clone())),
        });
    }
    label.push(')');
    label.push_str(&result(&symbol));
    let active =
        active.map_or(ActiveParameter::Int(slots.len() as u32), |at| ActiveParameter::Int(at as u32));
    let signature = SignatureInformation {
        label,
        documentation: summary(&view, &symbol).map(markdown),
        parameters: Some(parameters),
        active_parameter: None,
    };
    Some(SignatureHelp {
        signatures: vec![signature],
        active_signature: Some(0),
        active_parameter: Some(active),
    })
}

/// The statement around a byte as far as it is written before it, with its number.
pub(crate) fn reading(view: &View, offset: usize) -> Option<(usize, Statement)> {
    let offset = offset as u32;
    let index = view.scope.statement_at(ROOT, offset)?;
    let of = &view.statements()[index];
    // A word that the cursor is in, or right behind, is still being written.
    let before = |token: &aent::span::Spanned<Token>| {
        token.span.end < offset || (token.span.end == offset && !is_word(token.node))
    };
    let end = of.tokens.partition_point(before);
    Some((index, Statement::read_to(view.text(), of.tokens.clone(), end)))
}

/// Whether a token can go on with the next letter that is typed.
pub(crate) fn is_word(token: Token) -> bool {
    matches!(token, Token::Name | Token::Reserved | Token::Number | Token::Unknown)
}

/// The arguments that something takes, in the order of its signature.
pub(crate) fn slots(view: &View, symbol: &Symbol) -> Vec<Slot> {
    match symbol {
        Symbol::Entry(entry) => {
            let tensors = tensors(*entry);
            let (positional, named): (Vec<_>, Vec<_>) =
                tensors.into_iter().partition(|(.., positional)| *positional);
            let tensor = |(name, argument, positional): (&str, Argument, bool)| {
                let default = describe::default(&argument, name);
                Slot {
                    name: name.to_owned(),
                    label: label(name, default.as_deref()),
                    docs: describe::of_argument(&argument, name),
                    required: default.is_none(),
                    default,
                    positional,
                    argument: Some(argument),
                }
            };
            let constants = entry.declaration().parameters.iter().map(|of| {
                let argument = Argument::Parameter(of);
                let default = describe::default(&argument, of.name);
                Slot {
                    name: of.name.to_owned(),
                    label: label(of.name, default.as_deref()),
                    docs: describe::of_argument(&argument, of.name),
                    required: of.presence == aent::plugin::Presence::Required,
                    default,
                    positional: false,
                    argument: Some(argument),
                }
            });
            positional.into_iter().map(tensor).chain(named.into_iter().map(tensor)).chain(constants).collect()
        }
        Symbol::Builtin(of) => {
            let slot = |name: &&str| Slot {
                name: (*name).to_owned(),
                label: (*name).to_owned(),
                docs: String::new(),
                default: None,
                positional: true,
                required: true,
                argument: Some(Argument::Plain),
            };
            of.params.iter().map(slot).collect()
        }
        Symbol::Defined(function) if function.kind == Kind::Function => {
            let (source, text) = (function.place.source, view.source(function.place.source).text());
            let Some(of) = view.scope.statements(source).get(function.statement) else { return Vec::new() };
            let locals =
                view.scope.locals(source, function.statement).filter(|of| of.kind == Kind::Parameter);
            let slot = |place: Span| {
                let name = part(text, place);
                let default = default_of(of, text, place);
                let known = view.fact(place).map(describe::fact).unwrap_or_default();
                Slot {
                    name: name.to_owned(),
                    label: label(name, default.as_deref()),
                    docs: known,
                    required: default.is_none(),
                    default,
                    positional: true,
                    argument: None,
                }
            };
            locals.map(|of| slot(of.place)).collect()
        }
        _ => Vec::new(),
    }
}

/// The default of a parameter in the head of a `fn`, as written.
fn default_of(of: &Statement, text: &str, place: Span) -> Option<String> {
    let at = of.tokens.iter().position(|token| token.span == place)?;
    (part(text, of.tokens.get(at + 1)?.span) == "=").then_some(())?;
    let mut depth = 0_usize;
    let mut end = None;
    for token in &of.tokens[at + 2..] {
        match part(text, token.span) {
            "(" => depth += 1,
            ")" | "," if depth == 0 => break,
            ")" => depth -= 1,
            _ => {}
        }
        end = Some(token.span.end);
    }
    let start = of.tokens.get(at + 2)?.span.start as usize;
    Some(text[start..end? as usize].to_owned())
}

fn label(name: &str, default: Option<&str>) -> String {
    default.map_or_else(|| name.to_owned(), |default| format!("{name} = {default}"))
}

fn result(symbol: &Symbol) -> String {
    use aent::plugin::AnyEntry;
    match symbol {
        Symbol::Entry(AnyEntry::Term(entry)) => format!(" -> {}", entry.signature().result),
        Symbol::Entry(AnyEntry::Reduction(entry)) => format!(" -> {}", entry.signature().to),
        _ => String::new(),
    }
}

fn summary(view: &View, symbol: &Symbol) -> Option<String> {
    let text = match symbol {
        Symbol::Entry(entry) => aent_show::first_sentence(entry.declaration().docs),
        Symbol::Builtin(of) => of.docs.to_owned(),
        Symbol::Defined(definition) => describe::comment(view, definition),
        _ => String::new(),
    };
    (!text.is_empty()).then_some(text)
}

fn markdown(value: String) -> Documentation {
    Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value })
}

/// Labels of parameters are counted in UTF-16 units, whatever columns are counted in.
fn utf16(text: &str) -> u32 {
    text.encode_utf16().count() as u32
}
