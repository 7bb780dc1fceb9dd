//! The one canonical layout, as edits of the lines that differ.

use crate::project::Project;
use crate::view::ROOT;
use aent::span::{SourceId, Span};
use lsp_types::{Range, TextEdit, Uri};
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The edits that bring a file, or the lines of a range, into the canonical layout; nothing for a text with syntax errors.
pub(crate) fn edits(project: &mut Project, uri: &Uri, range: Option<Range>) -> Vec<TextEdit> {
    let view = project.view(uri);
    let text = view.text();
    let (tree, found) = aent::syntax::parse(SourceId(0), text);
    if found.has_errors() {
        return Vec::new();
    }
    let canonical = aent::syntax::print(&tree, text);
    let (old, new): (Vec<&str>, Vec<&str>) =
        (text.split_inclusive('\n').collect(), canonical.split_inclusive('\n').collect());
    let starts: Vec<usize> = starts(&old);
    let changes = capture_diff_slices(Algorithm::Myers, &old, &new);
    let edit = |change: DiffOp| {
        let (from, to) = (change.old_range(), change.new_range());
        if matches!(change, DiffOp::Equal { .. }) {
            return None;
        }
        let span = Span::new(ROOT, starts[from.start], starts[from.end]);
        Some(TextEdit { range: view.range(span), new_text: new[to].concat() })
    };
    let all = changes.into_iter().filter_map(edit);
    all.filter(|edit| range.is_none_or(|range| touches(edit.range, range))).collect()
}

/// Whether two ranges share a line.
fn touches(edit: Range, asked: Range) -> bool {
    // A range that ends where a line begins does not reach into it.
    let last = |range: Range| {
        if range.end.character == 0 && range.end.line > range.start.line {
            range.end.line - 1
        } else {
            range.end.line
        }
    };
    edit.start.line <= last(asked) && asked.start.line <= last(edit)
}

/// Where each line begins, and where the last one ends.
fn starts(lines: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let mut out = vec![0];
    for line in lines {
        at += line.len();
        out.push(at);
    }
    out
}
