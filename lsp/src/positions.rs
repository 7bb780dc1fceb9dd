//! Places as editors count them: lines, and UTF-16 units within a line, or bytes where both sides agree on them.

use aent::span::Span;
use lsp_types::{Position, Range};

/// How columns are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// In bytes.
    Utf8,
    /// In UTF-16 units, which every editor knows.
    #[default]
    Utf16,
}

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    starts: Vec<u32>,
    encoding: Encoding,
}

impl Lines {
    /// The lines of a text, which end with LF, CRLF or CR.
    pub(crate) fn new(text: &str, encoding: Encoding) -> Self {
        let bytes = text.as_bytes();
        let ends = |at: usize| match bytes[at] {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        let starts =
            std::iter::once(0).chain((0..bytes.len()).filter(|at| ends(*at)).map(|at| at as u32 + 1));
        Self { starts: starts.collect(), encoding }
    }

    /// The byte at a position. A position past the end of its line, or of the text, counts as that end.
    pub(crate) fn offset(&self, text: &str, position: Position) -> usize {
        let Some(start) = self.starts.get(position.line as usize) else { return text.len() };
        let line = self.line(text, position.line as usize);
        let mut left = position.character as usize;
        for (at, character) in line.char_indices() {
            let width = self.width(character);
            if left < width {
                return *start as usize + at;
            }
            left -= width;
        }
        *start as usize + line.len()
    }

    /// The position of a byte.
    pub(crate) fn position(&self, text: &str, offset: usize) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start as usize <= offset) - 1;
        let before = &text[self.starts[line] as usize..offset];
        let character = before.chars().map(|character| self.width(character)).sum::<usize>();
        Position { line: line as u32, character: character as u32 }
    }

    /// Both ends of a span.
    pub(crate) fn range(&self, text: &str, span: Span) -> Range {
        let at = |offset: u32| self.position(text, offset as usize);
        Range { start: at(span.start), end: at(span.end) }
    }

    /// The length of a piece of text within a line.
    pub(crate) fn length(&self, text: &str) -> u32 {
        text.chars().map(|character| self.width(character)).sum::<usize>() as u32
    }

    /// A line without its end.
    fn line<'t>(&self, text: &'t str, line: usize) -> &'t str {
        let end = self.starts.get(line + 1).map_or(text.len(), |start| *start as usize);
        text[self.starts[line] as usize..end].trim_end_matches(['\n', '\r'])
    }

    fn width(&self, character: char) -> usize {
        match self.encoding {
            Encoding::Utf8 => character.len_utf8(),
            Encoding::Utf16 => character.len_utf16(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn columns_are_utf_16_units() {
        let text = "# β = 🙂 x\r\nlet a = 1\rlet b = 2";
        let lines = Lines::new(text, Encoding::Utf16);
        let x = text.find('x').unwrap();
        // `#`, blank, `β`, blank, `=`, blank, two units of the face, blank.
        assert_eq!(lines.position(text, x), at(0, 9));
        assert_eq!(lines.offset(text, at(0, 9)), x);
        assert_eq!(
            lines.offset(text, at(0, 7)),
            text.find('🙂').unwrap(),
            "the middle of a pair is its beginning"
        );
        assert_eq!(lines.position(text, text.find("let b").unwrap()), at(2, 0));
        assert_eq!(Lines::new(text, Encoding::Utf8).position(text, x), at(0, 12));
    }

    #[test]
    fn what_lies_behind_a_line_or_the_text_is_its_end() {
        let text = "let a = 1\r\nlet b";
        let lines = Lines::new(text, Encoding::Utf16);
        assert_eq!(lines.offset(text, at(0, 99)), 9);
        assert_eq!(lines.offset(text, at(9, 0)), text.len());
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_place(text in "[a-zβ🙂\r\n #]{0,60}") {
            for encoding in [Encoding::Utf8, Encoding::Utf16] {
                let lines = Lines::new(&text, encoding);
                for (at, character) in text.char_indices().filter(|(_, of)| !matches!(of, '\r' | '\n')) {
                    prop_assert_eq!(lines.offset(&text, lines.position(&text, at)), at, "{:?}", character);
                }
            }
        }
    }
}
