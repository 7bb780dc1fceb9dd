//! Renames over files. What would break a file, or give a name another meaning, is refused.

use super::references::{Reference, all, renamable};
use crate::project::Project;
use crate::view::View;
use aent::diag::Severity;
use aent::load::Loader;
use lsp_types::{Position, RenameParams, TextDocumentPositionParams, TextEdit, Uri, WorkspaceEdit};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// The edits for a new name, or a sentence that says why it cannot be.
pub(crate) fn rename(project: &mut Project, params: &RenameParams) -> Result<WorkspaceEdit, String> {
    let at = &params.text_document_position_params;
    let new = params.new_name.trim();
    let (_, old) = renamable(project, at).ok_or("only what a file of yours defines can be renamed")?;
    if !is_name(new) {
        return Err(format!(
            "`{new}` is no name: names are letters, digits and `_`, and no word of the language"
        ));
    }
    let references = all(project, at).unwrap_or_default();
    if new == old {
        return Ok(WorkspaceEdit::default());
    }
    let edits = grouped(&references, new);
    judge(project, at, &references, &edits, new)?;
    let changes = edits.into_values().collect::<HashMap<Uri, Vec<TextEdit>>>();
    Ok(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() })
}

/// Whether the language takes a text as a name.
fn is_name(text: &str) -> bool {
    let (tree, found) = aent::syntax::parse(aent::span::SourceId(0), &format!("let {text} = 1"));
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    !found.has_errors() && tree.statements.len() == 1 && starts && !text.contains(char::is_whitespace)
}

type Edits = BTreeMap<PathBuf, (Uri, Vec<TextEdit>)>;

fn grouped(references: &[Reference], new: &str) -> Edits {
    let mut edits = Edits::new();
    for of in references {
        let Some(path) = &of.path else { continue };
        let edit = TextEdit { range: of.location.range, new_text: new.to_owned() };
        edits.entry(path.clone()).or_insert_with(|| (of.location.uri.clone(), Vec::new())).1.push(edit);
    }
    for (_, all) in edits.values_mut() {
        all.sort_by_key(|edit| edit.range.start);
    }
    edits
}

/// Checks the files as they would be: the new name must bring no error, and must be read where the old one was.
fn judge(
    project: &mut Project,
    at: &TextDocumentPositionParams,
    references: &[Reference],
    edits: &Edits,
    new: &str,
) -> Result<(), String> {
    let overlay = project.overlay.copy();
    let mut roots = Vec::new();
    for (path, (_, edits)) in edits {
        let bytes =
            overlay.read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        overlay.set(path.clone(), applied(project, &text, edits).into());
        roots.extend(project.readers(path));
        roots.push(path.clone());
    }
    roots.sort();
    roots.dedup();
    let errors = |view: &View| -> Vec<String> {
        let all = view.analysis.bundle.diagnostics.iter();
        all.filter(|of| of.severity == Severity::Error).map(|of| of.message.clone()).collect()
    };
    for root in roots {
        let before = errors(&project.view_of(&root)).len();
        let after = errors(&View::new(&root, &overlay, project.client.encoding));
        if after.len() > before {
            let message = after.into_iter().find(|of| of.contains(&format!("`{new}`")));
            let message = message.unwrap_or_else(|| "a file would no longer check".to_owned());
            return Err(format!("`{new}` cannot be its name: {message}"));
        }
    }
    let mut renamed = Project::new(PathBuf::new(), project.shelf.clone(), project.client, project.settings);
    renamed.take_over(project, overlay);
    let position = moved(at.position, references, at, new);
    let at = TextDocumentPositionParams { position, ..at.clone() };
    let now = all(&mut renamed, &at).unwrap_or_default();
    if now.len() == references.len() {
        return Ok(());
    }
    Err(format!(
        "`{new}` cannot be its name: it means something else already where the old one is, or elsewhere in these files"
    ))
}

/// A text with its edits, which do not overlap.
fn applied(project: &Project, text: &str, edits: &[TextEdit]) -> String {
    let lines = crate::positions::Lines::new(text, project.client.encoding);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        let (start, end) = (lines.offset(text, edit.range.start), lines.offset(text, edit.range.end));
        out.push_str(&text[done..start]);
        out.push_str(&edit.new_text);
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

/// Where the name that a position is in begins once all of its line are renamed.
fn moved(
    position: Position,
    references: &[Reference],
    at: &TextDocumentPositionParams,
    new: &str,
) -> Position {
    let here = |of: &&Reference| {
        of.location.uri == at.text_document.uri && of.location.range.start.line == position.line
    };
    let new = new.len() as i64;
    let mut shift = 0;
    let mut start = position.character;
    for of in references.iter().filter(here) {
        let range = of.location.range;
        if range.end < position {
            shift += new - i64::from(range.end.character - range.start.character);
        } else if range.start <= position {
            start = range.start.character;
        }
    }
    Position { character: (i64::from(start) + shift).max(0) as u32, ..position }
}
