//! Texts with questions in their comments.
//!
//! A line such as `#     ^ hover` asks about the place above its `^`; `#> symbols` asks about the whole text. The server
//! does not see these lines.

use lsp_types::Position;

/// A text without its questions.
pub(crate) struct Marked {
    /// The text.
    pub(crate) text: String,
    /// The questions with the line after which they stand.
    pub(crate) questions: Vec<(Position, String)>,
}

/// Takes the questions out of a text.
pub(crate) fn marked(text: &str) -> Marked {
    let mut out = Marked { text: String::new(), questions: Vec::new() };
    let mut line = 0_u32;
    for text in text.split_inclusive('\n') {
        let bare = text.trim_end();
        let at = bare.strip_prefix('#').and_then(|rest| {
            let column = rest.find('^').filter(|at| rest[..*at].trim().is_empty())?;
            Some((column + 1, rest[column + 1..].trim()))
        });
        let whole = bare.strip_prefix("#>").map(|rest| (0, rest.trim()));
        if let Some((column, question)) = at.or(whole) {
            let position = Position { line: line.saturating_sub(1), character: column as u32 };
            out.questions.push((position, question.to_owned()));
        } else {
            out.text.push_str(text);
            line += 1;
        }
    }
    out
}
