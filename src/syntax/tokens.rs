//! The tokens of a text, for whatever shows it in colours.

use super::scan::{TokenKind, scan};
use crate::span::{SourceId, Spanned};

/// What a part of a text is, as far as its letters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A word that no name can be, such as one that begins a statement, `and` or `true`.
    Reserved,
    /// Any other word.
    Name,
    /// A number.
    Number,
    /// A string with its quotes.
    String,
    /// An operator, a parenthesis or another mark.
    Symbol,
    /// A remark, from its `#` to the end of its line.
    Comment,
    /// Text that the language does not know.
    Unknown,
}

/// The tokens and comments of a text in their order, whether or not it parses. Only white space lies between them.
pub fn tokens(source: SourceId, text: &str) -> Vec<Spanned<Token>> {
    let (tokens, comments) = scan(source, text);
    let mut all: Vec<Spanned<Token>> =
        tokens.iter().map(|token| Spanned::new(kind(*token, text), token.span(source))).collect();
    all.extend(comments.iter().map(|comment| Spanned::new(Token::Comment, comment.span)));
    all.sort_by_key(|token| token.span);
    all
}

/// What a token is.
pub(super) fn kind(token: super::scan::Token, text: &str) -> Token {
    match token.kind {
        TokenKind::Keyword | TokenKind::Return | TokenKind::WordOperator => Token::Reserved,
        TokenKind::Word if ["true", "false"].contains(&token.text(text)) => Token::Reserved,
        TokenKind::Word => Token::Name,
        TokenKind::Number => Token::Number,
        TokenKind::String => Token::String,
        TokenKind::Open | TokenKind::Close | TokenKind::Brace | TokenKind::Symbol => Token::Symbol,
        TokenKind::Bad => Token::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Token, &str)> {
        let tokens = tokens(SourceId::default(), text);
        tokens
            .iter()
            .map(|token| (token.node, &text[token.span.start as usize..token.span.end as usize]))
            .collect()
    }

    #[test]
    fn every_sort_of_token_is_told_apart_in_the_texts_order() {
        use Token::{Comment, Name, Number, Reserved, String, Symbol, Unknown};
        let text = "let a = f(1e-3, \"k3\") # why\nmetric b = true and c % 30%";
        let expected = [
            (Reserved, "let"),
            (Name, "a"),
            (Symbol, "="),
            (Name, "f"),
            (Symbol, "("),
            (Number, "1e-3"),
            (Symbol, ","),
            (String, "\"k3\""),
            (Symbol, ")"),
            (Comment, "# why"),
            (Reserved, "metric"),
            (Name, "b"),
            (Symbol, "="),
            (Reserved, "true"),
            (Reserved, "and"),
            (Name, "c"),
            (Unknown, "%"),
            (Number, "30%"),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_range_is_two_numbers_around_its_dots() {
        assert_eq!(read("0..1"), [(Token::Number, "0"), (Token::Symbol, ".."), (Token::Number, "1")]);
    }

    #[test]
    fn only_white_space_lies_between_tokens() {
        for text in ["", "\"open\nlet", "é≤\u{1F600}1.", "1_0.5E+ a1 9%%", "# \r\n#", "12.x <&>\t// no"] {
            let mut rest = text;
            for (_, token) in read(text) {
                let (between, after) = rest.split_once(token).unwrap();
                assert_eq!(between.trim(), "", "{text:?}");
                rest = after;
            }
            assert_eq!(rest.trim(), "", "{text:?}");
        }
    }
}
