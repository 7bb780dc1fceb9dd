//! What can be folded: statements and calls over several lines, runs of comments and of imports.

use crate::names::Statement;
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::span::Span;
use lsp_types::{FoldingRange, FoldingRangeKind, Uri};

/// All that can be folded.
pub(crate) fn ranges(project: &mut Project, uri: &Uri) -> Vec<FoldingRange> {
    let view = project.view(uri);
    let mut out: Vec<FoldingRange> = Vec::new();
    for statement in view.statements() {
        out.extend(fold(&view, statement.span(), None));
        for call in &statement.calls {
            let close = call.close.map(|close| fold(&view, call.open.to(close), None));
            out.extend(close.flatten());
        }
    }
    let imports: Vec<Span> =
        view.statements().iter().filter(|of| of.keyword == "import").map(Statement::span).collect();
    if let [first, .., last] = imports.as_slice() {
        out.extend(fold(&view, first.to(*last), Some(FoldingRangeKind::Imports)));
    }
    let mut run: Option<Span> = None;
    for comment in &view.analysis.bundle.file(ROOT).comments {
        match run {
            Some(before) if adjoins(&view, before, comment.span) => run = Some(before.to(comment.span)),
            _ => {
                out.extend(run.and_then(|run| fold(&view, run, Some(FoldingRangeKind::Comment))));
                run = Some(comment.span);
            }
        }
    }
    out.extend(run.and_then(|run| fold(&view, run, Some(FoldingRangeKind::Comment))));
    out.sort_by_key(|range| (range.start_line, range.end_line));
    out.dedup_by_key(|range| (range.start_line, range.end_line));
    out
}

/// Whether nothing but the end of a line lies between two comments.
fn adjoins(view: &View, before: Span, after: Span) -> bool {
    let between = &view.text()[before.end as usize..after.start as usize];
    between.trim().is_empty() && between.matches('\n').count() == 1
}

fn fold(view: &View, span: Span, kind: Option<FoldingRangeKind>) -> Option<FoldingRange> {
    let range = view.range(span);
    (range.start.line < range.end.line).then(|| FoldingRange {
        start_line: range.start.line,
        end_line: range.end.line,
        kind,
        ..FoldingRange::default()
    })
}
