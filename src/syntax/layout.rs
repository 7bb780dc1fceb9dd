//! Breaks lines: a group is written on one line if it fits, otherwise all its own breaks become line breaks.

/// A text with places where its lines may break.
pub(super) enum Doc {
    /// Text without line breaks.
    Text(String),
    /// A comment; it does not count when measuring whether a line fits.
    Comment(String),
    /// A blank, or a line break.
    Line,
    /// Nothing, or a line break.
    SoftLine,
    /// Always a line break; it breaks every group around it.
    HardLine,
    /// Text that is written only if the group is broken.
    IfBroken(&'static str),
    /// A sequence.
    Concat(Vec<Doc>),
    /// Line breaks inside indent by four more blanks.
    Indent(Box<Doc>),
    /// On one line if it fits.
    Group(Box<Doc>),
}

impl Doc {
    /// Text without line breaks.
    pub(super) fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    /// Parts that share one line if they fit.
    pub(super) fn group(parts: Vec<Doc>) -> Doc {
        Doc::Group(Box::new(Doc::Concat(parts)))
    }

    /// Parts whose line breaks are indented.
    pub(super) fn indent(parts: Vec<Doc>) -> Doc {
        Doc::Indent(Box::new(Doc::Concat(parts)))
    }
}

#[derive(Clone, Copy)]
struct Piece<'a> {
    indent: usize,
    broken: bool,
    doc: &'a Doc,
}

/// Writes a document in lines of at most `width` characters, where possible.
pub(super) fn render(doc: &Doc, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    let mut stack = vec![Piece { indent: 0, broken: true, doc }];
    while let Some(piece) = stack.pop() {
        match piece.doc {
            Doc::Text(text) => {
                out.push_str(text);
                column += text.chars().count();
            }
            Doc::Comment(text) => out.push_str(text),
            Doc::IfBroken(text) if piece.broken => {
                out.push_str(text);
                column += text.len();
            }
            Doc::HardLine => column = new_line(&mut out, piece.indent),
            Doc::Line | Doc::SoftLine if piece.broken => column = new_line(&mut out, piece.indent),
            Doc::Line => {
                out.push(' ');
                column += 1;
            }
            Doc::SoftLine | Doc::IfBroken(_) => {}
            Doc::Concat(parts) => stack.extend(parts.iter().rev().map(|doc| Piece { doc, ..piece })),
            Doc::Indent(doc) => stack.push(Piece { indent: piece.indent + 4, doc, ..piece }),
            Doc::Group(doc) => {
                let flat = Piece { broken: false, doc, ..piece };
                let broken = !fits(flat, &stack, width.saturating_sub(column));
                stack.push(Piece { broken, ..flat });
            }
        }
    }
    out
}

/// Whether `first`, and what follows it up to the next break, needs at most `room` characters.
fn fits(first: Piece, rest: &[Piece], mut room: usize) -> bool {
    let mut stack = vec![first];
    let mut rest = rest.iter().rev();
    loop {
        let Some(piece) = stack.pop().or_else(|| rest.next().copied()) else { return true };
        let taken = match piece.doc {
            Doc::Text(text) => text.chars().count(),
            Doc::HardLine => return piece.broken,
            Doc::Line | Doc::SoftLine if piece.broken => return true,
            Doc::IfBroken(text) if piece.broken => text.len(),
            Doc::Line => 1,
            Doc::Comment(_) | Doc::SoftLine | Doc::IfBroken(_) => 0,
            Doc::Concat(parts) => {
                stack.extend(parts.iter().rev().map(|doc| Piece { doc, ..piece }));
                0
            }
            Doc::Indent(doc) => {
                stack.push(Piece { doc, ..piece });
                0
            }
            // A group after `first` may still break by itself.
            Doc::Group(doc) => {
                stack.push(Piece { broken: false, doc, ..piece });
                0
            }
        };
        match room.checked_sub(taken) {
            Some(left) => room = left,
            None => return false,
        }
    }
}

fn new_line(out: &mut String, indent: usize) -> usize {
    // Deeper indentation would only make the file larger.
    let indent = indent.min(80);
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
    indent
}
