//! Splits a text into words, numbers, strings, symbols and comments, in one pass that never fails.
//!
//! The grammar matches single statements. This pass finds where they begin, sees every bracket before any recursion
//! does, and marks text that no rule of the language matches.

use super::number;
use crate::span::{SourceId, Span, Spanned};

/// The kinds of tokens, as far as statement boundaries and messages need them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A word that begins a statement.
    Keyword,
    /// `return`, which ends the block of a `fn`.
    Return,
    /// `and`, `or`, `not`, `in` or `as`.
    WordOperator,
    /// Any other word, including `true` and `false`, which can be followed by the same tokens as a name.
    Word,
    /// A number.
    Number,
    /// A string.
    String,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `{` or `}`, which only a `fn` may have.
    Brace,
    /// Any other symbol of the language.
    Symbol,
    /// Text that the language does not know; [`super::lexical::explain`] says why.
    Bad,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// Its kind.
    pub(super) kind: TokenKind,
    /// Whether only white space precedes it on its line.
    pub(super) first_on_line: bool,
    /// First byte.
    pub(super) start: u32,
    /// One past the last byte.
    pub(super) end: u32,
    /// Bytes before it on its line.
    pub(super) column: u32,
}

impl Token {
    /// Whether an expression may end here.
    pub(super) fn ends_operand(self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Number | TokenKind::String | TokenKind::Close)
    }

    /// Its text.
    pub(super) fn text(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }

    /// Its place.
    pub(super) fn span(self, source: SourceId) -> Span {
        Span { source, start: self.start, end: self.end }
    }
}

/// The words that begin statements.
pub(super) const KEYWORDS: [&str; 11] =
    ["edition", "param", "input", "set", "fn", "let", "controller", "loss", "metric", "assert", "import"];

/// The other words that no name can be.
pub(super) const RESERVED: [&str; 8] = ["return", "as", "in", "and", "or", "not", "true", "false"];

/// Operators of other languages, longest first, so that each is reported once.
const FOREIGN: [&str; 20] = [
    "...", "..=", "===", "!==", "<=>", "**=", "&&", "||", "**", "+=", "-=", "*=", "/=", "->", "=>", "=<",
    "<>", ":=", "|>", "..<",
];

const SYMBOLS: [&str; 6] = ["<=", ">=", "==", "!=", "..", "::"];

/// Finds all tokens and comments.
pub(super) fn scan(source: SourceId, text: &str) -> (Vec<Token>, Vec<Spanned<String>>) {
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (mut line_start, mut first_on_line) = (at, true);
    while let Some(&byte) = text.as_bytes().get(at) {
        let rest = &text[at..];
        match byte {
            b'\n' => {
                at += 1;
                (line_start, first_on_line) = (at, true);
            }
            b' ' | b'\t' | b'\r' => at += 1,
            b'#' => {
                let comment = rest_of_line(rest);
                let span = Span::new(source, at, at + comment.len());
                comments.push(Spanned::new(comment.to_owned(), span));
                at += comment.len();
            }
            _ => {
                let (kind, length) = token(rest);
                let (start, end) = (at as u32, (at + length) as u32);
                tokens.push(Token { kind, first_on_line, start, end, column: (at - line_start) as u32 });
                at += length;
                first_on_line = false;
            }
        }
    }
    (tokens, comments)
}

/// The kind and length of the token at the start of `rest`; never empty.
fn token(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let starts_with_point = bytes[0] == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit);
    match bytes[0] {
        b'(' => (TokenKind::Open, 1),
        b')' => (TokenKind::Close, 1),
        b'"' => string(rest),
        b'\'' => (TokenKind::Bad, quoted(rest)),
        byte if byte.is_ascii_digit() || starts_with_point => {
            let length = number::length(bytes);
            let kind =
                if number::value(&rest[..length]).is_ok() { TokenKind::Number } else { TokenKind::Bad };
            (kind, length)
        }
        _ if rest.starts_with(is_word_character) => word(rest),
        _ if rest.starts_with("//") || rest.starts_with("/*") => (TokenKind::Bad, foreign_comment(rest)),
        _ => symbol(rest),
    }
}

fn word(rest: &str) -> (TokenKind, usize) {
    let length = rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
    let kind = match &rest[..length] {
        word if !word.is_ascii() => TokenKind::Bad,
        "return" => TokenKind::Return,
        "and" | "or" | "not" | "in" | "as" => TokenKind::WordOperator,
        word if KEYWORDS.contains(&word) => TokenKind::Keyword,
        _ => TokenKind::Word,
    };
    (kind, length)
}

/// Letters of any alphabet, so that `café` is reported once and not three times.
fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn string(rest: &str) -> (TokenKind, usize) {
    let mut kind = TokenKind::String;
    let mut bytes = rest.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return (kind, at + 1),
            b'\n' => break,
            b'\\' => match rest.as_bytes().get(at + 1) {
                Some(b'"' | b'\\') => drop(bytes.next()),
                _ => kind = TokenKind::Bad,
            },
            _ => {}
        }
    }
    (TokenKind::Bad, rest_of_line(rest).len())
}

/// A string in single quotes, or only the quote if it is not closed.
fn quoted(rest: &str) -> usize {
    match rest[1..].find(['\'', '\n']) {
        Some(at) if rest[1 + at..].starts_with('\'') => at + 2,
        _ => 1,
    }
}

fn foreign_comment(rest: &str) -> usize {
    if rest.starts_with("/*") {
        let end = rest
            .match_indices(['*', '\n'])
            .skip(1)
            .find(|(at, _)| !rest[*at..].starts_with('*') || rest[*at..].starts_with("*/"));
        if let Some((at, "*")) = end {
            return at + 2;
        }
    }
    rest_of_line(rest).len()
}

fn symbol(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    if bytes.get(1).is_none_or(|second| !b"&|*=<>.:".contains(second)) {
        return single(rest);
    }
    if let Some(foreign) = FOREIGN.iter().find(|foreign| rest.starts_with(**foreign)) {
        return (TokenKind::Bad, foreign.len());
    }
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        return (TokenKind::Symbol, symbol.len());
    }
    single(rest)
}

fn single(rest: &str) -> (TokenKind, usize) {
    if b"+-*/^<>=,.:".contains(&rest.as_bytes()[0]) {
        return (TokenKind::Symbol, 1);
    }
    let first = rest.chars().next().unwrap_or_default();
    if matches!(first, '{' | '}') {
        return (TokenKind::Brace, 1);
    }
    // A run of one wrong character is reported once.
    (TokenKind::Bad, rest.find(|c| c != first).unwrap_or(rest.len()))
}

/// The line without its end; trailing blanks belong to the end.
fn rest_of_line(rest: &str) -> &str {
    rest.split('\n').next().unwrap_or_default().trim_end_matches([' ', '\t', '\r'])
}
