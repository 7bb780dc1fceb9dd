//! Completion as `aent lsp` has it, for `%%aent` cells.

use crate::errors::guarded;
use pyo3::prelude::*;

/// The completions at a place, best first: where the word to replace begins, and each text with its kind, such as
/// ``function`` or ``keyword``. Places count characters.
#[pyfunction]
pub(crate) fn complete(text: &str, place: usize) -> PyResult<(usize, Vec<(String, &'static str)>)> {
    guarded(|| {
        let offset = text.char_indices().nth(place).map_or(text.len(), |(offset, _)| offset);
        let found = aent_lsp::completions(text, offset);
        let items = found.items.into_iter().map(|of| (of.text, of.kind)).collect();
        Ok((text[..found.start].chars().count(), items))
    })
}
