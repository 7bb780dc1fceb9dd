//! All places that mean the same: in the file, in what it imports, and in whatever imports these.

use super::definition::location;
use crate::names::{Role, Symbol};
use crate::project::Project;
use crate::view::{Found, ROOT, View};
use lsp_types::{DocumentHighlight, DocumentHighlightKind, Location, Range, TextDocumentPositionParams};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where a name is defined, for comparison over files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    /// A place in a file, or in one of the library by its name.
    Place(PathBuf, u32),
    /// An `input` of the batch, or what the language or a crate defines.
    Name(String),
}

/// A place in a file that means what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    /// The file; none for one of the library.
    pub(crate) path: Option<PathBuf>,
    /// The place.
    pub(crate) location: Location,
    /// Whether it is the definition.
    pub(crate) is_definition: bool,
}

/// All references to the name at a position, the definition among them if it is wanted.
pub(crate) fn references(
    project: &mut Project,
    at: &TextDocumentPositionParams,
    with_definition: bool,
) -> Option<Vec<Location>> {
    let all = all(project, at)?;
    let wanted = all.into_iter().filter(|of| with_definition || !of.is_definition);
    Some(wanted.map(|of| of.location).collect())
}

/// All references to the name at a position.
pub(crate) fn all(project: &mut Project, at: &TextDocumentPositionParams) -> Option<Vec<Reference>> {
    let located = project.located(&at.text_document.uri);
    let view = project.view(&at.text_document.uri);
    let found = view.word_at(view.offset(at.position))?;
    let identity = identity(&view, &found)?;
    let roots = match &identity {
        Identity::Place(path, _) if path.is_absolute() => project.readers(path),
        // Of what no file defines, every file may have references.
        _ => project.all().into_iter().collect(),
    };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for root in std::iter::once(located).chain(roots) {
        let view = project.view_of(&root);
        for of in in_view(project, &view, &identity) {
            let key = (of.location.uri.0.clone(), of.location.range.start);
            if seen.insert(key) {
                out.push(of);
            }
        }
    }
    Some(out)
}

/// The references of one view, in all of its files that are the user's.
fn in_view(project: &Project, view: &Rc<View>, wanted: &Identity) -> Vec<Reference> {
    let sources = view.analysis.bundle.sources.iter().map(|(id, _)| id);
    let is_library =
        |identity: &Identity| matches!(identity, Identity::Place(path, _) if !path.is_absolute());
    let mut out = Vec::new();
    for source in sources.filter(|id| *id == ROOT || view.path(*id).is_some() || is_library(wanted)) {
        for found in view.words(source).filter(|found| identity(view, found).as_ref() == Some(wanted)) {
            let Some(location) = location(project, view, found.word.span) else { continue };
            out.push(Reference {
                path: view.path(source).map(Path::to_owned),
                location,
                is_definition: matches!(found.word.role, Role::Definition(_)),
            });
        }
    }
    out
}

fn identity(view: &View, found: &Found<'_>) -> Option<Identity> {
    Some(match view.symbol(found)? {
        Symbol::Defined(of) if of.kind == crate::names::Kind::Input => {
            Identity::Name(format!("input {}", found.text))
        }
        Symbol::Defined(of) => {
            let path = view.path(of.place.source).map(Path::to_owned);
            let path = path.unwrap_or_else(|| PathBuf::from(view.source(of.place.source).name()));
            Identity::Place(path, of.place.start)
        }
        Symbol::Argument(callee, _) => Identity::Name(format!("{callee}({})", found.text)),
        Symbol::Extra(term, _) => Identity::Name(format!("{term}.{}", found.text)),
        _ => Identity::Name(found.text.to_owned()),
    })
}

/// The places in one file that mean the same as the name at a position.
pub(crate) fn highlights(
    project: &mut Project,
    at: &TextDocumentPositionParams,
) -> Option<Vec<DocumentHighlight>> {
    let view = project.view(&at.text_document.uri);
    let found = view.word_at(view.offset(at.position))?;
    let wanted = identity(&view, &found)?;
    let same = view.words(ROOT).filter(|of| identity(&view, of).as_ref() == Some(&wanted));
    let highlight = |of: Found<'_>| DocumentHighlight {
        range: view.range(of.word.span),
        kind: Some(match of.word.role {
            Role::Definition(_) => DocumentHighlightKind::Write,
            _ => DocumentHighlightKind::Read,
        }),
    };
    Some(same.map(highlight).collect())
}

/// The range and the text of the name at a position, if a file of the user's defines it.
pub(crate) fn renamable(project: &mut Project, at: &TextDocumentPositionParams) -> Option<(Range, String)> {
    let view = project.view(&at.text_document.uri);
    let found = view.word_at(view.offset(at.position))?;
    let definition = view.symbol(&found)?.definition()?;
    view.path(definition.place.source).filter(|path| !project.shelf.has(path))?;
    Some((view.range(found.word.span), found.text.to_owned()))
}
