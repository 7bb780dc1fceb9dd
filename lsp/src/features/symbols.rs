//! The names that a file defines, and those of all files of the workspace.

use super::describe;
use crate::names::{Definition, Kind, Statement, statements};
use crate::positions::Lines;
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::load::Loader;
use lsp_types::{
    BaseSymbolInformation, DocumentSymbol, Location, SymbolKind, Uri, WorkspaceSymbol,
    WorkspaceSymbolLocation,
};

/// The names of a file, with those of the block of a `fn` below it.
pub(crate) fn of_document(project: &mut Project, uri: &Uri) -> Vec<DocumentSymbol> {
    let view = project.view(uri);
    let all = view.statements().iter().enumerate();
    all.filter_map(|(index, statement)| of_statement(&view, index, statement)).collect()
}

fn of_statement(view: &View, index: usize, statement: &Statement) -> Option<DocumentSymbol> {
    let range = view.range(statement.span());
    let Some((word, kind)) = statement.defines() else {
        // A loss without a name is the only one.
        let keyword = statement.tokens.first().filter(|_| statement.keyword == "loss")?;
        let selection_range = view.range(keyword.span);
        return Some(symbol("loss", symbol_kind(Kind::Loss), None, range, selection_range));
    };
    let definition = Definition { place: word.span, kind, statement: index, file: None };
    let name = view.part(word.span);
    let detail = match kind {
        Kind::Function => Some(describe::head(view, &definition, name)),
        _ => view.fact(word.span).map(describe::short),
    };
    let children: Vec<_> = view
        .scope
        .locals(ROOT, index)
        .map(|of| {
            let range = view.range(of.place);
            symbol(
                view.part(of.place),
                symbol_kind(of.kind),
                view.fact(of.place).map(describe::short),
                range,
                range,
            )
        })
        .collect();
    let children = (!children.is_empty()).then_some(children);
    Some(DocumentSymbol { children, ..symbol(name, symbol_kind(kind), detail, range, view.range(word.span)) })
}

fn symbol(
    name: &str,
    kind: SymbolKind,
    detail: Option<String>,
    range: lsp_types::Range,
    selection_range: lsp_types::Range,
) -> DocumentSymbol {
    #[expect(
        deprecated,
        reason = "the protocol has replaced the field by tags, the type has no other constructor"
    )]
    DocumentSymbol {
        name: name.to_owned(),
        detail,
        kind,
        tags: None,
        deprecated: None,
        range,
        selection_range,
        children: None,
    }
}

/// What a definition is, in the protocol's words.
pub(crate) fn symbol_kind(kind: Kind) -> SymbolKind {
    match kind {
        Kind::Param | Kind::Parameter => SymbolKind::Constant,
        Kind::Input => SymbolKind::Field,
        Kind::Let | Kind::Step => SymbolKind::Variable,
        Kind::Extra => SymbolKind::Property,
        Kind::Controller => SymbolKind::Object,
        Kind::Function => SymbolKind::Function,
        Kind::Loss | Kind::Metric => SymbolKind::Event,
        Kind::Alias => SymbolKind::Module,
    }
}

/// The names of the workspace that have the letters of a query in their order.
pub(crate) fn of_workspace(project: &Project, query: &str) -> Vec<WorkspaceSymbol> {
    let mut out = Vec::new();
    for path in project.all() {
        let Ok(bytes) = project.overlay.read(&path) else { continue };
        let (Ok(text), Some(uri)) = (String::from_utf8(bytes), project.uri(&path)) else { continue };
        let lines = Lines::new(&text, project.client.encoding);
        for statement in statements(ROOT, &text) {
            let Some((word, kind)) = statement.defines() else { continue };
            let name = crate::names::part(&text, word.span);
            if !has_letters(name, query) {
                continue;
            }
            let range = lines.range(&text, word.span);
            out.push(WorkspaceSymbol {
                location: WorkspaceSymbolLocation::Location(Location { uri: uri.clone(), range }),
                data: None,
                base_symbol_information: BaseSymbolInformation {
                    name: name.to_owned(),
                    kind: symbol_kind(kind),
                    tags: None,
                    container_name: path.file_name().map(|of| of.to_string_lossy().into_owned()),
                },
            });
        }
    }
    out
}

/// Whether a name has the letters of a query in their order, in whatever case.
fn has_letters(name: &str, query: &str) -> bool {
    let mut letters = name.chars().map(|of| of.to_ascii_lowercase());
    query
        .chars()
        .filter(|of| !of.is_whitespace())
        .all(|of| letters.any(|letter| letter == of.to_ascii_lowercase()))
}
