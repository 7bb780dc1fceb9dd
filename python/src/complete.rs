//! Completion as `aent lsp` has it, for `%%aent` cells.

use crate::errors::guarded;
use pyo3::prelude::*;

/// What can stand at a place of a text, as an editor shows it: where the word begins that it replaces, and everything that
/// fits, best first, each with what it is: ``function``, ``keyword``, ``field``. Places are counted in characters.
#[pyfunction]
pub(crate) fn complete(text: &str, place: usize) -> PyResult<(usize, Vec<(String, &'static str)>)> {
    guarded(|| {
        let offset = text.char_indices().nth(place).map_or(text.len(), |(offset, _)| offset);
        let found = aent_lsp::completions(text, offset);
        let items = found.items.into_iter().map(|of| (of.text, of.kind)).collect();
        Ok((text[..found.start].chars().count(), items))
    })
}
