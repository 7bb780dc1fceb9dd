//! Where a name is defined: in this file, in another one, in the library.

use crate::names::{Definition, Kind, Symbol};
use crate::project::Project;
use crate::uri;
use crate::view::{ROOT, View};
use aent::plugin::AnyEntry;
use aent::span::{SourceId, Span};
use aent::syntax::ast::StatementKind;
use lsp_types::{Location, Position, Range, TextDocumentPositionParams};

/// The definitions of the name at a position.
pub(crate) fn definition(project: &mut Project, at: &TextDocumentPositionParams) -> Option<Vec<Location>> {
    let view = project.view(&at.text_document.uri);
    let offset = view.offset(at.position);
    let place = match view.word_at(offset) {
        Some(found) => match view.symbol(&found)? {
            // The name of an import leads to the file.
            Symbol::Defined(Definition { kind: Kind::Alias, file: Some(file), .. }) => Span::new(file, 0, 0),
            Symbol::Entry(entry) => return declared(project, entry).map(|place| vec![place]),
            symbol => symbol.definition()?.place,
        },
        None => Span::new(imported(&view, offset as u32)?, 0, 0),
    };
    Some(vec![location(project, &view, place)?])
}

/// Where a crate defines a term, a reduction or a kind of controller, if its source is on this machine: by the absolute path
/// that cargo gives to what it has downloaded, or from the workspace or a folder around it.
fn declared(project: &Project, entry: AnyEntry) -> Option<Location> {
    let (file, line) = entry.declaration().place?;
    let path = project.overlay.folders().map(|folder| folder.join(file)).find(|path| path.is_file())?;
    let at = Position { line: line.saturating_sub(1), character: 0 };
    Some(Location { uri: uri::of_path(&path)?, range: Range { start: at, end: at } })
}

/// The file that the import at a byte leads to.
fn imported(view: &View, offset: u32) -> Option<SourceId> {
    let statements = &view.analysis.bundle.file(ROOT).statements;
    let here = |span: &Span| span.start <= offset && offset <= span.end;
    let import = statements.iter().find(|of| {
        here(&of.span) && matches!(&of.kind, StatementKind::Import { path, .. } if here(&path.span))
    })?;
    view.analysis.bundle.imports.get(&import.span).copied()
}

/// A place of a view for the client. A file of the library is put where the client can open it.
pub(crate) fn location(project: &Project, view: &View, place: Span) -> Option<Location> {
    let uri = if let Some(path) = view.path(place.source) {
        project.uri(path)?
    } else {
        let name = view.source(place.source).name();
        uri::of_path(&project.shelf.library(name)?)?
    };
    Some(Location { uri, range: view.range(place) })
}
