//! Texts that this program carries, as files that an editor can open: the library, and the pages of findings.

use crate::uri;
use aent::diag::codes;
use aent::load::LIBRARY;
use lsp_types::Uri;
use std::path::{Path, PathBuf};

/// A folder for these files. They are written when somebody looks for them, and again where they differ.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The shelf in a folder for files that can be made again.
    pub(crate) fn new(cache: &Path) -> Self {
        Self { folder: cache.join(concat!("lsp-", env!("CARGO_PKG_VERSION"))) }
    }

    /// The folder that a user's programs keep such files in.
    pub(crate) fn of_user() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CACHE_HOME")
            .or_else(|| set("LOCALAPPDATA"))
            .or_else(|| Some(set("HOME")?.join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        Self::new(&base.join("aent"))
    }

    /// A file of the library by its name in imports: `std/kl.aent`.
    pub(crate) fn library(&self, name: &str) -> Option<PathBuf> {
        let (_, text) = LIBRARY.iter().find(|(file, _)| name.strip_prefix("std/") == Some(file))?;
        self.put(name, text)
    }

    /// The page that explains a finding.
    pub(crate) fn page(&self, id: &str) -> Option<Uri> {
        let code = codes::find(id)?;
        let kind = if code.is_lint { "lint" } else { "error" };
        let text = format!("# {id}\n\n*{kind}*\n\n{}", code.explanation);
        uri::of_path(&self.put(&format!("diagnostics/{id}.md"), &text)?)
    }

    /// Whether a file is on the shelf.
    pub(crate) fn has(&self, path: &Path) -> bool {
        path.starts_with(&self.folder)
    }

    /// A file with this text; none where the user's folders cannot be written to.
    fn put(&self, name: &str, text: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        if std::fs::read(&path).is_ok_and(|bytes| bytes == text.as_bytes()) {
            return Some(path);
        }
        std::fs::create_dir_all(path.parent()?).ok()?;
        aent_files::write(&path, text.as_bytes()).ok()?;
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once_and_mended_where_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let path = shelf.library("std/kl.aent").unwrap();
        assert!(shelf.has(&path));
        std::fs::write(&path, "let a = 1").unwrap();
        assert_eq!(shelf.library("std/kl.aent").as_ref(), Some(&path));
        assert!(std::fs::read_to_string(&path).unwrap().contains("fn k3("));
        assert_eq!(shelf.library("std/nothing.aent"), None);
    }

    #[test]
    fn every_finding_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let page = Shelf::new(folder.path()).page("unused-let").unwrap();
        let text = std::fs::read_to_string(uri::to_path(&page).unwrap()).unwrap();
        assert!(text.starts_with("# unused-let\n\n*lint*\n"), "{text}");
    }
}
