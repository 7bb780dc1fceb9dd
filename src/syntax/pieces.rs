//! The tokens of a text, cut into statements, whether or not these parse.

use super::MAX_BYTES;
use super::scan::scan;
use super::statements::cut;
use super::tokens::{Token, kind};
use crate::span::{SourceId, Spanned};

/// The tokens of each statement of a text, or of each piece that should have been one, without comments. What follows
/// from them holds in a text with syntax errors, too. A text that is larger than a file may be has none.
pub fn pieces(source: SourceId, text: &str) -> Vec<Vec<Spanned<Token>>> {
    if text.len() > MAX_BYTES {
        return Vec::new();
    }
    let (tokens, _) = scan(source, text);
    let starts = cut(&tokens, text);
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    let spanned = |token: &super::scan::Token| Spanned::new(kind(*token, text), token.span(source));
    starts.iter().zip(ends).map(|(start, end)| tokens[*start..end].iter().map(spanned).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_with_an_error_is_a_piece_like_any_other() {
        let text = "let a = (1 +\nlet b = 2 # two\nlosss = b";
        let found = pieces(SourceId(0), text);
        let ends = found.iter().map(|piece| (piece[0].span.start, piece[piece.len() - 1].span.end));
        let texts: Vec<&str> = ends.map(|(start, end)| &text[start as usize..end as usize]).collect();
        assert_eq!(texts, ["let a = (1 +", "let b = 2", "losss = b"]);
    }

    #[test]
    fn a_text_that_is_too_large_has_none() {
        assert!(pieces(SourceId(0), &"let a = 1\n".repeat(MAX_BYTES / 10 + 1)).is_empty());
    }
}
