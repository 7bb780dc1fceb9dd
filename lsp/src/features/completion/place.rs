//! Where the cursor is, and what can stand there.

use super::candidates::{self, Candidate, Wanted};
use crate::features::signature::{Slot, reading, slots};
use crate::names::{Argument, Call, Role, Statement, Symbol, part};
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::plugin::{Parameter, ParameterType};
use aent::span::Span;
use aent::syntax::Token;
use aent::types::Type;

/// Where the cursor is.
#[derive(Debug)]
pub(crate) enum Place {
    /// Where a statement begins.
    Statement,
    /// In the string of an import.
    Import,
    /// Where one of some words of the language stands.
    Words(&'static [&'static str]),
    /// Where the kind of a controller stands.
    Controller,
    /// Behind a dot: what a name, or the call of it, has.
    Member(usize, usize),
    /// Where an argument of a call begins: its name or its value.
    Argument {
        /// The number of the statement.
        statement: usize,
        /// The number of the name that is called.
        callee: usize,
        /// Which argument of those without names it would be.
        position: usize,
    },
    /// Where the value of an argument stands, by its name.
    Value {
        /// The number of the statement.
        statement: usize,
        /// The number of the name that is called.
        callee: usize,
        /// The name of the argument.
        name: String,
    },
    /// The same within quotes: one of the argument's choices.
    Choice {
        /// The number of the statement.
        statement: usize,
        /// The number of the name that is called.
        callee: usize,
        /// The name of the argument.
        name: String,
    },
    /// Where a formula goes on, with what it should give.
    Formula(usize, Wanted),
    /// In a string that is no import and no argument.
    Text,
    /// Where only the author knows.
    Nothing,
}

impl Place {
    /// The place of a byte.
    pub(crate) fn at(view: &View, offset: usize) -> Self {
        let text = view.text();
        let comments = &view.analysis.bundle.file(ROOT).comments;
        if comments.iter().any(|of| (of.span.start as usize) < offset && offset <= of.span.end as usize) {
            return Self::Nothing;
        }
        let Some((index, read)) = reading(view, offset) else { return Self::Statement };
        let whole = &view.statements()[index];
        let before = whole.tokens.iter().rev().find(|token| is_before(token, offset));
        let last = before.map(|token| (part(text, token.span), token.node, token.span));
        let inside = whole.tokens.iter().find(|of| {
            (of.span.start as usize) < offset
                && offset <= of.span.end as usize
                && part(text, of.span).starts_with('"')
        });
        let in_string = inside.is_some_and(|of| offset < of.span.end as usize || of.node == Token::Unknown);
        if in_string {
            return match read.keyword {
                "import" => Self::Import,
                _ => match Self::in_call(&read, index, text) {
                    Some(Self::Value { statement, callee, name }) => Self::Choice { statement, callee, name },
                    _ => Self::Text,
                },
            };
        }
        let Some((last, kind, span)) = last else { return Self::Statement };
        if last == "." {
            return base(whole, span).map_or(Self::Nothing, |base| Self::Member(index, base));
        }
        if kind == Token::Reserved
            && read.open.is_empty()
            && before.is_some_and(|of| of.span == whole.tokens[0].span)
        {
            return Self::after_keyword(last, index);
        }
        let ends = matches!(kind, Token::Name | Token::Number | Token::String)
            || matches!(last, ")" | "}" | "true" | "false");
        let is_below = text[span.end as usize..offset.max(span.end as usize)].contains('\n');
        if ends && is_below && read.open.is_empty() {
            return Self::Statement;
        }
        match (read.keyword, last) {
            ("input", ":") => return Self::Words(&["token", "seq", "scalar", "candidates", "logits"]),
            ("input", "token" | "seq" | "scalar") => return Self::Words(&["bool", "int", "grad"]),
            ("input", "bool" | "int") => return Self::Words(&["grad"]),
            ("input", "candidates") => return Self::Words(&["id"]),
            ("param", "=") => return Self::Words(&["true", "false"]),
            ("param", _) if ends && !read.tokens.iter().any(|of| part(text, of.span) == "in") => {
                return Self::Words(&["in"]);
            }
            ("input" | "param", _) => return Self::Nothing,
            ("import", _) => return Self::Words(&["as"]),
            ("controller", "=") if read.open.is_empty() => return Self::Controller,
            _ => {}
        }
        if let Some(place) = Self::in_call(&read, index, text) {
            return place;
        }
        if ends {
            return Self::Words(&["and", "or"]);
        }
        let wanted = match (read.keyword, last) {
            ("loss" | "metric", "=") => Wanted::Type(Type::SCALAR),
            ("assert", "assert") => Wanted::Type(Type::SCALAR.to_bool()),
            _ => Wanted::Any,
        };
        Self::Formula(index, wanted)
    }

    /// Behind the keyword that begins a statement.
    fn after_keyword(keyword: &str, statement: usize) -> Self {
        match keyword {
            "set" => Self::Words(&["temperature"]),
            "edition" => Self::Words(&["1"]),
            "assert" => Self::Formula(statement, Wanted::Type(Type::SCALAR.to_bool())),
            _ => Self::Nothing,
        }
    }

    /// In the parentheses of a call, where an argument begins or where the value of a named one does.
    fn in_call(read: &Statement, index: usize, text: &str) -> Option<Self> {
        let open = read.open.last().map(|index| &read.calls[*index])?;
        let callee = open.callee?;
        let last = read.tokens.iter().rev().find(|of| of.span.start <= last_read(read));
        let last = last.map_or("", |of| part(text, of.span));
        let argument = current(open);
        if let Some(word) = argument.filter(|_| last == "=") {
            let name = part(text, read.words[word].span).to_owned();
            return Some(Self::Value { statement: index, callee, name });
        }
        matches!(last, "(" | ",").then_some(Self::Argument {
            statement: index,
            callee,
            position: open.commas,
        })
    }

    /// What can stand here.
    pub(crate) fn candidates(&self, view: &View, project: &Project, offset: usize) -> Vec<Candidate> {
        match self {
            Self::Statement => candidates::statements(),
            Self::Import => candidates::files(view, project),
            Self::Words(words) => candidates::words(words),
            Self::Controller => candidates::controllers(),
            Self::Member(statement, base) => candidates::members(view, *statement, *base),
            Self::Argument { statement, callee, position } => {
                let (slots, given) = slots_of(view, *statement, *callee);
                let mut out = candidates::arguments(&slots, &given);
                let slot = slots.iter().filter(|slot| slot.positional).nth(*position);
                if let Some(slot) = slot {
                    out.extend(candidates::values(view, *statement, offset, wanted(slot)));
                }
                out
            }
            Self::Value { statement, callee, name } => {
                let (slots, _) = slots_of(view, *statement, *callee);
                let slot = slots.iter().find(|slot| slot.name == *name);
                let choices = slot.map(candidates::choices).unwrap_or_default();
                if !choices.is_empty() {
                    return choices;
                }
                candidates::values(view, *statement, offset, slot.map_or(Wanted::Any, wanted))
            }
            Self::Choice { statement, callee, name } => {
                let (slots, _) = slots_of(view, *statement, *callee);
                slots.iter().find(|slot| slot.name == *name).map(candidates::choices).unwrap_or_default()
            }
            Self::Formula(statement, wanted) => candidates::values(view, *statement, offset, *wanted),
            Self::Text | Self::Nothing => Vec::new(),
        }
    }
}

/// Whether a token is written before a byte, and not being written there.
fn is_before(token: &aent::span::Spanned<Token>, offset: usize) -> bool {
    let end = token.span.end as usize;
    end < offset || (end == offset && !crate::features::signature::is_word(token.node))
}

/// Where the last token begins that was read.
fn last_read(read: &Statement) -> u32 {
    read.end.checked_sub(1).map_or(0, |last| read.tokens[last].span.start)
}

/// The name of the argument that is being written.
fn current(call: &Call) -> Option<usize> {
    call.arguments.get(call.commas).and_then(|(_, name)| *name)
}

/// The name before a dot, or that of the call before it.
fn base(of: &Statement, dot: Span) -> Option<usize> {
    let named = of.words.iter().position(|word| word.span.end == dot.start);
    let called = || {
        let call = of.calls.iter().find(|call| call.close.is_some_and(|close| close.end == dot.start))?;
        call.callee
    };
    named.or_else(called)
}

/// The arguments of a call, and the names of those that are given.
fn slots_of(view: &View, statement: usize, callee: usize) -> (Vec<Slot>, Vec<String>) {
    let of = &view.statements()[statement];
    let symbol: Option<Symbol> = view.scope.symbol(&view.analysis.bundle, ROOT, statement, callee);
    let given = of.words.iter().filter(|word| word.role == Role::Argument(Some(callee)));
    let given = given.map(|word| view.part(word.span).to_owned()).collect();
    (symbol.map(|symbol| slots(view, &symbol)).unwrap_or_default(), given)
}

/// What an argument takes.
fn wanted(slot: &Slot) -> Wanted {
    match &slot.argument {
        Some(Argument::Input(of)) => Wanted::Type(of.ty),
        Some(Argument::Parameter(Parameter { ty: ParameterType::Field(sorts), .. })) => Wanted::Field(sorts),
        Some(Argument::Parameter(Parameter { ty: ParameterType::Bool, .. })) => {
            Wanted::Type(Type::SCALAR.to_bool())
        }
        Some(Argument::Parameter(_) | Argument::Signal(_)) => Wanted::Type(Type::SCALAR),
        Some(Argument::Plain) if slot.name == "x" => Wanted::Type(Type::TOKEN),
        _ => Wanted::Any,
    }
}
