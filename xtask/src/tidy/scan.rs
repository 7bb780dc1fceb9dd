//! Reads Rust as tokens, so that comments and strings are never mistaken for code.

use proc_macro2::{Delimiter, Punct, Spacing, TokenStream, TokenTree};

/// A token, with groups flattened into their delimiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its text; punctuation is one character, except `::`.
    pub(crate) text: String,
    /// Starts at 1.
    pub(crate) line: usize,
    /// Whether it is a name or keyword.
    pub(crate) is_ident: bool,
}

impl Token {
    /// Whether this is the name, keyword or punctuation `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// The contents, if this is a plain string literal.
    pub(crate) fn string(&self) -> Option<&str> {
        self.text.strip_prefix('"')?.strip_suffix('"')
    }
}

/// All tokens of a Rust text. Comments are skipped; a doc comment is an attribute with a string.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text.parse().map_err(|error| format!("cannot be read as Rust: {error}"))?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        let mut push = |text: String, line, is_ident| tokens.push(Token { text, line, is_ident });
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), line, false);
                flatten(group.stream(), tokens);
                let line = group.span_close().start().line;
                tokens.push(Token { text: close.to_owned(), line, is_ident: false });
            }
            TokenTree::Punct(ref sign) if opens_path(sign) && trees.next_if(is_colon).is_some() => {
                push("::".to_owned(), line, false);
            }
            TokenTree::Punct(sign) => push(sign.as_char().to_string(), line, false),
            TokenTree::Ident(ident) => push(ident.to_string(), line, true),
            TokenTree::Literal(literal) => push(literal.to_string(), line, false),
        }
    }
}

/// A colon directly before the next punctuation.
fn opens_path(sign: &Punct) -> bool {
    sign.as_char() == ':' && sign.spacing() == Spacing::Joint
}

fn is_colon(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(sign) if sign.as_char() == ':')
}

/// The tokens without items under `#[cfg(test)]`.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if starts_with(&tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = end_of_item(tokens, at + 7);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Whether the tokens begin with these texts.
pub(crate) fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.is(text))
}

/// The index after an item: after its closing brace, or its semicolon if that comes first.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.is("}") {
                    let semicolon = tokens.get(at + 1).is_some_and(|next| next.is(";"));
                    return at + 1 + usize::from(semicolon);
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        tokens(text).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn a_path_is_names_and_double_colons() {
        assert_eq!(texts("a::b: c"), ["a", "::", "b", ":", "c"]);
        assert_eq!(texts("x: ::std::fs"), ["x", ":", "::", "std", "::", "fs"]);
    }

    #[test]
    fn comments_are_no_tokens() {
        assert_eq!(texts("a /* b */ // c"), ["a"]);
    }

    #[test]
    fn a_text_literal_has_contents() {
        assert_eq!(tokens("\"unknown-name\"").unwrap()[0].string(), Some("unknown-name"));
        assert_eq!(tokens("name").unwrap()[0].string(), None);
    }

    #[test]
    fn tests_are_taken_out_whole() {
        let all = tokens("fn a() {} #[cfg(test)] mod tests { fn b() {} } fn c() {}").unwrap();
        let kept: Vec<_> = without_tests(&all).into_iter().map(|token| token.text).collect();
        assert_eq!(kept.join(" "), "fn a ( ) { } fn c ( ) { }");
        let all = tokens("#[cfg(test)] use a::{b, c}; fn d() {}").unwrap();
        let kept: Vec<_> = without_tests(&all).into_iter().map(|token| token.text).collect();
        assert_eq!(kept.join(" "), "fn d ( ) { }");
    }
}
