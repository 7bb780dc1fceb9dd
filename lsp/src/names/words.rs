//! What each name in a statement is there for, read off the tokens alone, so that a broken statement has names, too.

use super::reader::Reader;
use aent::span::{SourceId, Span, Spanned};
use aent::syntax::Token;

/// A name in a text. A plugin's name with its `::` is one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its place.
    pub(crate) span: Span,
    /// What it is there for.
    pub(crate) role: Role,
}

/// What a name is there for. Numbers are those of other names in the same statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is defined here.
    Definition(Kind),
    /// A value, or what stands before the dot of a member.
    Value,
    /// What a call calls.
    Callee,
    /// The kind of a controller.
    Controller,
    /// The name of an argument, of the call of this name.
    Argument(Option<usize>),
    /// What follows a dot, after this name or the call of it.
    Member(Option<usize>),
    /// The same before parentheses: a function of an import.
    CalledMember(Option<usize>),
    /// A word of the language, such as `token` or `temperature`.
    Language,
}

/// What a definition defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `param`
    Param,
    /// `input`
    Input,
    /// `let`
    Let,
    /// `controller`
    Controller,
    /// `fn`
    Function,
    /// A name between the parentheses of a `fn`.
    Parameter,
    /// A `let` in the block of a `fn`.
    Step,
    /// An `extra` in the block of a `fn`.
    Extra,
    /// `loss`
    Loss,
    /// `metric`
    Metric,
    /// The name of an import.
    Alias,
}

impl Kind {
    /// Its keyword.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Param => "param",
            Self::Input => "input",
            Self::Let | Self::Step => "let",
            Self::Controller => "controller",
            Self::Function => "fn",
            Self::Parameter => "argument",
            Self::Extra => "extra",
            Self::Loss => "loss",
            Self::Metric => "metric",
            Self::Alias => "import",
        }
    }
}

/// A call, or a group in parentheses.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The name that is called; none for a group.
    pub(crate) callee: Option<usize>,
    /// The place of `(`.
    pub(crate) open: Span,
    /// The place of `)`, if it is there.
    pub(crate) close: Option<Span>,
    /// How many commas stand between its arguments so far.
    pub(crate) commas: usize,
    /// Where the last of its arguments so far may begin.
    pub(crate) last: u32,
    /// Where each argument begins and, if it has one, its name.
    pub(crate) arguments: Vec<(u32, Option<usize>)>,
}

/// A statement as its tokens show it.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// Its tokens, without comments.
    pub(crate) tokens: Vec<Spanned<Token>>,
    /// Its keyword, as written; empty if it begins with none.
    pub(crate) keyword: &'static str,
    /// Its names, in the text's order.
    pub(crate) words: Vec<Word>,
    /// Its calls and groups, by where they begin.
    pub(crate) calls: Vec<Call>,
    /// Calls that are open where reading ended, outermost first.
    pub(crate) open: Vec<usize>,
    /// How many tokens were read.
    pub(crate) end: usize,
}

const KEYWORDS: [&str; 11] =
    ["edition", "param", "input", "set", "fn", "let", "controller", "loss", "metric", "assert", "import"];

impl Statement {
    /// Reads a statement from its tokens.
    pub(crate) fn read(text: &str, tokens: Vec<Spanned<Token>>) -> Self {
        let all = tokens.len();
        Self::read_to(text, tokens, all)
    }

    /// Reads a statement up to a token. What follows is looked at, but not read.
    pub(crate) fn read_to(text: &str, tokens: Vec<Spanned<Token>>, end: usize) -> Self {
        let first = tokens.first().map_or("", |token| part(text, token.span));
        let keyword = KEYWORDS.into_iter().find(|keyword| *keyword == first).unwrap_or("");
        let Reader { words, calls, open, .. } = Reader::read(text, &tokens, end, keyword);
        Self { keyword, words, calls, open, end: end.min(tokens.len()), tokens }
    }

    /// From its first token to its last.
    pub(crate) fn span(&self) -> Span {
        match self.tokens.as_slice() {
            [first, .., last] => first.span.to(last.span),
            [only] => only.span,
            [] => Span::new(SourceId(0), 0, 0),
        }
    }

    /// The name that it defines for the whole file, or for what is reported.
    pub(crate) fn defines(&self) -> Option<(Word, Kind)> {
        let top = |kind| !matches!(kind, Kind::Parameter | Kind::Step | Kind::Extra);
        self.words.iter().find_map(|word| match word.role {
            Role::Definition(kind) if top(kind) => Some((*word, kind)),
            _ => None,
        })
    }

    /// The number of the name of the argument that begins last before a byte, of those that a call has there.
    pub(crate) fn argument_before(&self, call: usize, from: u32, offset: u32) -> Option<usize> {
        let arguments = &self.calls.get(call)?.arguments;
        arguments.iter().find(|(start, _)| from <= *start && *start <= offset).and_then(|(_, name)| *name)
    }

    /// The call of the name with this number.
    pub(crate) fn call_of(&self, callee: usize) -> Option<&Call> {
        self.calls.iter().find(|call| call.callee == Some(callee))
    }
}

/// The text at a place.
pub(crate) fn part(text: &str, span: Span) -> &str {
    &text[span.start as usize..span.end as usize]
}
