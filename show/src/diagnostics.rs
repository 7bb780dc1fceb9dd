//! Shows diagnostics as text for people.

use crate::findings::{placed, plain};
use aent::diag::{Diagnostic, Diagnostics, Severity};
use aent::source::Sources;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::fmt::Write as _;

/// Longer lines are not shown: they were not written by hand.
const LONGEST_LINE: usize = 1000;

/// Whether text is coloured for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// With the escape sequences of terminals.
    Terminal,
    /// Without.
    Plain,
}

/// All diagnostics as text, with their source lines.
pub fn text(found: &Diagnostics, sources: &Sources, colour: Colour) -> String {
    let renderer = renderer(colour);
    let mut out = String::new();
    for diagnostic in found {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{}\n", renderer.render(&[group(diagnostic, sources)]));
    }
    out
}

/// A sentence in the style of a diagnostic, for errors outside of a text.
pub fn sentence(text: &str, colour: Colour) -> String {
    format!("{}\n", renderer(colour).render(&[Group::with_title(Level::ERROR.primary_title(text))]))
}

/// The same for a harmless remark.
pub fn remark(text: &str, colour: Colour) -> String {
    format!("{}\n", renderer(colour).render(&[Group::with_title(Level::WARNING.primary_title(text))]))
}

fn renderer(colour: Colour) -> Renderer {
    match colour {
        Colour::Terminal => Renderer::styled(),
        Colour::Plain => Renderer::plain(),
    }
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(plain(&diagnostic.message)).id(diagnostic.id));
    let home = diagnostic.span.source;
    if placed(diagnostic, sources).is_none() {
        group = group.element(Origin::path(sources.get(home).name()));
    } else {
        let mut files = vec![home];
        for label in &diagnostic.labels {
            if !files.contains(&label.span.source) {
                files.push(label.span.source);
            }
        }
        for file in files {
            group = element(group, diagnostic, sources, file);
        }
    }
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(plain(help))),
        None => group,
    }
}

/// Adds the lines of one file that the diagnostic is about.
fn element<'a>(
    group: Group<'a>,
    diagnostic: &'a Diagnostic,
    sources: &'a Sources,
    file: aent::span::SourceId,
) -> Group<'a> {
    let source = sources.get(file);
    let secondary = diagnostic.labels.iter().map(|label| (label.span, Some(plain(&label.message)), false));
    let marks: Vec<_> = std::iter::once((diagnostic.span, diagnostic.note.as_deref().map(plain), true))
        .chain(secondary)
        .filter(|(span, ..)| span.source == file)
        .collect();
    let text = source.text();
    let first = marks.iter().map(|(span, ..)| span.start as usize).min().unwrap_or(0);
    let last = marks.iter().map(|(span, ..)| span.end as usize).max().unwrap_or(0);
    // Pass only the lines from the first to the last mark, since a file may be large.
    let start = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let end = text[last..].find('\n').map_or(text.len(), |at| last + at);
    let window = &text[start..end];
    let (line, column) = source.line_column(marks[0].0.start as usize);
    if window.lines().any(|line| line.len() > LONGEST_LINE) {
        return group.element(Origin::path(source.name()).line(line).char_column(column));
    }
    let annotations = marks.into_iter().map(|(span, label, is_primary)| {
        let kind = if is_primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        kind.span(span.start as usize - start..span.end as usize - start).label(label)
    });
    let (first_line, _) = source.line_column(start);
    group.element(
        Snippet::source(harmless(window)).path(source.name()).line_start(first_line).annotations(annotations),
    )
}

/// Control characters of two bytes, which some terminals obey, become a dot of two bytes, so that marks stay where they are. The
/// renderer shows those of one byte by a sign.
fn harmless(window: &str) -> String {
    window.replace(|letter| matches!(letter, '\u{80}'..='\u{9f}'), "\u{b7}")
}
