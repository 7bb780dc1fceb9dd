//! Applies the comments that silence lints.
//! `# aent: allow(unused-let)` applies to the statement before it or below it, `allow-file` to the whole file.

use crate::diag::{Diagnostic, Diagnostics, Severity};
use crate::load::Bundle;
use crate::span::{SourceId, Span};

/// A directive and the bytes it covers.
struct Allow<'a> {
    covered: Span,
    id: &'a str,
}

/// Removes the lints that the files allow.
pub(super) fn apply(found: &mut Diagnostics, bundle: &Bundle) {
    let mut allowed = Vec::new();
    let mut wrong = Vec::new();
    for file in &bundle.files {
        for comment in &file.comments {
            read(bundle, file.source, &comment.node, comment.span, &mut allowed, &mut wrong);
        }
    }
    for diagnostic in wrong {
        found.push(diagnostic);
    }
    found.retain(|diagnostic| {
        diagnostic.severity == Severity::Error
            || !allowed
                .iter()
                .any(|allow| allow.id == diagnostic.id && covers(allow.covered, diagnostic.span))
    });
}

fn covers(outer: Span, inner: Span) -> bool {
    outer.source == inner.source && outer.start <= inner.start && inner.start <= outer.end
}

fn read<'a>(
    bundle: &'a Bundle,
    source: SourceId,
    comment: &'a str,
    span: Span,
    allowed: &mut Vec<Allow<'a>>,
    wrong: &mut Vec<Diagnostic>,
) {
    let remark = comment.trim_start_matches('#').trim();
    let Some(directive) = remark.strip_prefix("aent:") else {
        if remark.starts_with("aent allow(") || remark.starts_with("aent allow-file(") {
            let message = "expected a colon after `aent`: this comment silences nothing";
            let written = remark.replacen("aent", "aent:", 1);
            wrong
                .push(Diagnostic::warning("unknown-directive", span, message).write(&format!("# {written}")));
        }
        return;
    };
    let directive = directive.trim();
    let (whole_file, ids) = match directive.strip_prefix("allow-file(") {
        Some(rest) => (true, rest),
        None => (false, directive.strip_prefix("allow(").unwrap_or("")),
    };
    let Some(ids) = ids.strip_suffix(')').filter(|ids| !ids.trim().is_empty()) else {
        wrong.push(
            Diagnostic::warning(
                "unknown-directive",
                span,
                "expected `allow(lint-id)` or `allow-file(lint-id)` after `aent:`",
            )
            .help("for example `# aent: allow(unused-let)`"),
        );
        return;
    };
    let text = bundle.sources.get(source).text();
    let covered =
        if whole_file { Span::new(source, 0, text.len()) } else { statement_of(bundle, source, span) };
    for id in ids.split(',').map(str::trim) {
        match crate::diag::codes::find(id) {
            Some(code) if code.is_lint => allowed.push(Allow { covered, id }),
            known => {
                let message = match known {
                    Some(_) => format!("`{id}` is an error, which cannot be silenced"),
                    None => format!("there is no lint `{id}`"),
                };
                let lints = crate::diag::codes::CODES.iter().filter(|code| code.is_lint).map(|code| code.id);
                let mut diagnostic = Diagnostic::warning("unknown-directive", span, message);
                if let Some(near) = crate::near::nearest(id, lints) {
                    // `id` is a part of the comment's text.
                    let at = span.start as usize + (id.as_ptr().addr() - comment.as_ptr().addr());
                    let place = Span::new(source, at, at + id.len());
                    diagnostic = diagnostic.help(format!("did you mean `{near}`?")).fix(place, near);
                }
                wrong.push(diagnostic);
            }
        }
    }
}

/// The statement that a comment belongs to: the one before it on its line or around it, otherwise the next one.
fn statement_of(bundle: &Bundle, source: SourceId, comment: Span) -> Span {
    let statements = &bundle.file(source).statements;
    let text = bundle.sources.get(source).text();
    let line_start = text[..comment.start as usize].rfind('\n').map_or(0, |at| at + 1);
    let behind_code = !text[line_start..comment.start as usize].trim().is_empty();
    let found = if behind_code {
        statements.iter().rev().find(|statement| statement.span.start <= comment.start)
    } else {
        let within =
            statements.iter().find(|of| of.span.start <= comment.start && comment.start < of.span.end);
        within.or_else(|| statements.iter().find(|statement| statement.span.start >= comment.end))
    };
    found.map_or(comment, |statement| statement.span)
}
