//! Findings of the check, as an editor shows them.

use crate::project::{Finding, Project};
use crate::view::{ROOT, View};
use aent::diag::Severity;
use aent::span::{SourceId, Span};
use lsp_types::{
    Code, CodeDescription, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag,
    Location, Message, Uri,
};
use std::path::{Path, PathBuf};

/// All findings of a view, with the files that they are in. `path` is that of the compiled file.
pub(crate) fn findings(view: &View, path: &Path, project: &Project) -> Vec<Finding> {
    let located = |source: SourceId| -> Option<PathBuf> {
        if source == ROOT {
            return Some(path.to_owned());
        }
        view.path(source).map(Path::to_owned).or_else(|| project.shelf.library(view.source(source).name()))
    };
    let location = |span: Span| -> Option<Location> {
        Some(Location { uri: project.uri(&located(span.source)?)?, range: view.range(span) })
    };
    let one = |item: &aent::diag::Diagnostic| {
        let related = item.labels.iter().filter_map(|label| {
            Some(DiagnosticRelatedInformation {
                location: location(label.span)?,
                message: label.message.clone(),
            })
        });
        let related: Vec<_> = related.collect();
        let diagnostic = Diagnostic {
            range: view.range(item.span),
            severity: Some(match item.severity {
                Severity::Error => DiagnosticSeverity::Error,
                Severity::Warning => DiagnosticSeverity::Warning,
            }),
            code: Some(Code::String(item.id.to_owned())),
            code_description: page(project, item.id).map(|href| CodeDescription { href }),
            source: Some("aent".to_owned()),
            message: Message::String(words(item)),
            tags: item.id.starts_with("unused-").then(|| vec![DiagnosticTag::Unnecessary]),
            related_information: (!related.is_empty()).then_some(related),
            data: None,
        };
        Some(Finding {
            path: located(item.span.source)?,
            id: item.id,
            place: (item.span.start, item.span.end),
            diagnostic,
            message: item.message.clone(),
        })
    };
    view.analysis.bundle.diagnostics.iter().filter_map(one).collect()
}

/// The page that explains a finding.
fn page(project: &Project, id: &str) -> Option<Uri> {
    project.shelf.page(id)
}

/// The message, with what is remarked on its place and what helps.
fn words(item: &aent::diag::Diagnostic) -> String {
    let mut out = item.message.clone();
    if let Some(note) = &item.note {
        out.push_str(": ");
        out.push_str(note);
    }
    if let Some(help) = &item.help {
        out.push_str("\nhelp: ");
        out.push_str(help);
    }
    out
}
