//! Messages for statements that do not match the grammar: in the user's terms, with a remedy.

use super::habits::habit;
use super::scan::{RESERVED, Token, TokenKind};
use crate::diag::Diagnostic;
use crate::span::{SourceId, Span};
use std::collections::HashSet;

/// What would have matched at a position, in the order in which messages list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expected {
    /// An operand, with or without operators before it.
    Expression,
    /// A name.
    Name,
    /// A number where no expression is allowed.
    Number,
    /// A string.
    String,
    /// `true` or `false` where no expression is allowed.
    Truth,
    /// `token`, `seq` or `scalar`.
    Shape,
    /// An operator between operands, or a `.field`.
    Operator,
    /// One symbol.
    Symbol(&'static str),
    /// One word.
    Word(&'static str),
    /// The end of the statement.
    NextStatement,
    /// Never listed, because something else is always expected with it.
    Other,
}

/// The tokens of one statement and what follows them.
pub(super) struct Neighbourhood<'a> {
    /// The whole text.
    pub(super) text: &'a str,
    /// Its file.
    pub(super) source: SourceId,
    /// The statement's tokens.
    pub(super) tokens: &'a [Token],
    /// The first token of the next statement.
    pub(super) next: Option<Token>,
    /// The names under which the file imports others.
    pub(super) aliases: &'a HashSet<&'a str>,
}

impl Neighbourhood<'_> {
    /// The error for a statement that matches only up to the byte `at`.
    pub(super) fn unexpected(&self, at: usize, expected: &[Expected]) -> Diagnostic {
        let index = self.tokens.partition_point(|token| (token.start as usize) < at);
        let found = self.tokens.get(index).copied();
        let before = index.checked_sub(1).map(|index| self.tokens[index]);
        let (found_text, span) = match (found, before) {
            (Some(found), _) => (quote(found.text(self.text)), found.span(self.source)),
            // The next statement may be far below, so point to the end of this one.
            (None, before) => {
                let found =
                    self.next.map_or("the end of the file".to_owned(), |next| quote(next.text(self.text)));
                (found, before.map_or(Span::new(self.source, at, at), |token| token.span(self.source)))
            }
        };
        let wanted = wanted(expected);
        let after = match (found, before) {
            (None, Some(before)) => format!(" after {}", quote(before.text(self.text))),
            _ => String::new(),
        };
        let word = found.map_or("", |token| token.text(self.text));
        let is_reserved = found.is_some_and(|token| token.kind == TokenKind::Keyword)
            || (RESERVED.contains(&word) && expected.contains(&Expected::Name));
        let id = match () {
            () if is_reserved && !expected.contains(&Expected::Operator) => "reserved-word",
            () if expected.contains(&Expected::Expression) => "missing-expression",
            () => "syntax-error",
        };
        let message = match id {
            "reserved-word" => format!("expected {wanted}, found the reserved word {found_text}"),
            _ => format!("expected {wanted}{after}, found {found_text}"),
        };
        let diagnostic = Diagnostic::error(id, span, message);
        let before = before.map_or("", |token| token.text(self.text));
        let keyword = self.tokens.first().map_or("", |token| token.text(self.text));
        let habit = found.and_then(|found| habit(self, index, found, expected, &diagnostic));
        let help =
            || way_out(id, before, word, expected).or_else(|| pattern(keyword, expected).map(str::to_owned));
        match (habit, help()) {
            (Some(diagnostic), _) => diagnostic,
            (None, Some(help)) => diagnostic.help(help),
            (None, None) => diagnostic,
        }
    }
}

/// Text as messages quote it; long text is truncated.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 32;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("`{}...`", &text[..at]),
        None => format!("`{text}`"),
    }
}

fn wanted(expected: &[Expected]) -> String {
    let has = |wanted| expected.contains(&wanted);
    let mut words: Vec<String> = Vec::new();
    for &expectation in expected {
        words.push(match expectation {
            Expected::Expression => "an expression".into(),
            // "An expression" includes names, numbers, strings and parentheses.
            Expected::Name | Expected::Number | Expected::String | Expected::Symbol("(")
                if has(Expected::Expression) || has(Expected::Operator) =>
            {
                continue;
            }
            Expected::Name => "a name".into(),
            Expected::Number => "a number".into(),
            Expected::String => "a string in double quotes".into(),
            Expected::Truth => "a truth value".into(),
            Expected::Shape => "`token`, `seq`, `scalar`, `candidates` or `logits`".into(),
            // Inside parentheses, what closes or continues the list is more helpful.
            Expected::Operator | Expected::Symbol(".." | "=") if has(Expected::Symbol(")")) => continue,
            Expected::Operator => "an operator".into(),
            Expected::Symbol(symbol) | Expected::Word(symbol) => format!("`{symbol}`"),
            Expected::NextStatement => "the next statement".into(),
            Expected::Other => continue,
        });
    }
    match words.as_slice() {
        [] => "something else".into(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn way_out(id: &str, before: &str, found: &str, expected: &[Expected]) -> Option<String> {
    let has = |wanted| expected.contains(&wanted);
    let operator = has(Expected::Operator);
    Some(match (before, found) {
        _ if id == "reserved-word" => format!("`{found}` is a word of the language, choose another name"),
        (_, "==") if has(Expected::Symbol("=")) => "a definition is written with one `=`".into(),
        (_, "=") if operator => "equality is written `==`; `=` only follows a name that it defines".into(),
        ("lambda" | "def" | "func" | "function", _) if operator => {
            "a function is written `fn name(x) = ...`, as a statement of its own".into()
        }
        ("if", _) | (_, "if" | "else" | "then") if operator => {
            "a choice is written `where(condition, value, otherwise)`".into()
        }
        (_, "+") if has(Expected::Expression) || has(Expected::Number) => "leave out the `+`".into(),
        ("=", "{") => "a block takes no `=` before it: `fn f(a) { return a }`".into(),
        (_, "..") if operator => {
            "a range `a .. b` can only be the value of an argument: `target = 0 .. 1`".into()
        }
        (_, "(") if operator => "only names can be called: `name(...)`".into(),
        (_, "is") if operator => "equality is written `==`".into(),
        (_, "xor") if operator => "write `!=` between two conditions".into(),
        (")", ")") if has(Expected::Expression) => return None,
        ("(", ")") if has(Expected::Expression) => "parentheses need an expression inside".into(),
        (_, "*" | "/" | "^" | "<" | ">" | "<=" | ">=" | "==" | "!=" | "and" | "or")
            if has(Expected::Expression) =>
        {
            format!("`{found}` needs a value on its left")
        }
        (_, ":") if has(Expected::Symbol("=")) || operator => {
            "types are written only in `input NAME: token`".into()
        }
        (_, ",") if operator => "a comma stands only between arguments".into(),
        _ => return None,
    })
}

/// An example of the statement, for a mistake outside its expressions.
fn pattern(keyword: &str, expected: &[Expected]) -> Option<&'static str> {
    let has = |wanted| expected.contains(&wanted);
    match keyword {
        "fn" if has(Expected::Word("return")) => {
            return Some(
                "a block is written `{ let a = ... return a }`, with any number of `let` and `extra`",
            );
        }
        "assert" if has(Expected::Symbol(",")) => {
            return Some("write it like `assert token_mean(w) < 5, \"weights explode\"`");
        }
        _ if has(Expected::Operator) || has(Expected::Expression) => return None,
        _ => {}
    }
    match keyword {
        "edition" => Some("write it like `edition 1`"),
        "param" if expected.contains(&Expected::Number) => {
            Some("a `param` is a number, a truth value or a string; a formula is a `let`")
        }
        "param" if has(Expected::Symbol(",")) => {
            Some("write it like `param estimator = \"k3\" in \"k1\", \"k3\"`")
        }
        "param" => Some("write it like `param eps = 0.2 in 0 .. 1`"),
        "loss" => Some("write it like `loss = ...`, or `loss critic = ...` where there are several"),
        "input" => {
            Some("write it like `input weight: seq`, `input kept: token bool` or `input turn: token int`")
        }
        "set" => Some("write it like `set temperature = 1.0`"),
        "fn" => Some("write it like `fn scaled(x, by = 2) = x * by`"),
        "assert" => Some("write it like `assert token_mean(w) < 5, \"weights explode\"`"),
        "controller" => {
            Some("write it like `controller beta = constant(value = 0.1)`; a plain number is a `param`")
        }
        "import" => Some("write it like `import \"other.aent\"` or `import \"std/kl.aent\" as kl`"),
        _ => None,
    }
}
