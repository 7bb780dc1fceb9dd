//! Limits which files an import may reach: a spec from a stranger must not show files of its reader.

use super::loader::Loader;
use crate::diag::Diagnostic;
use crate::span::Span;
use std::path::{Path, PathBuf};

/// The folders that imports must stay within.
#[derive(Debug, Default)]
pub(super) struct Fence {
    project: Option<PathBuf>,
    allowed: Vec<PathBuf>,
}

impl Fence {
    /// The fence for imports from the file that is compiled.
    pub(super) fn around(file: &Path, allowed: &[PathBuf], loader: &dyn Loader) -> Self {
        let allowed = allowed.iter().map(|folder| loader.locate(folder)).collect();
        Self { project: loader.project(file), allowed }
    }

    /// The error for an import that leads outside the fence, to `located`. It does not say whether that file exists.
    pub(super) fn refuse(&self, import: &str, located: &Path, place: Span) -> Option<Diagnostic> {
        let project = self.project.as_ref()?;
        if self.allowed.iter().any(|folder| located.starts_with(folder)) {
            return None;
        }
        let message = if Path::new(import).is_absolute() {
            format!("expected a path relative to this file, found the absolute path \"{import}\"")
        } else if located.starts_with(project) {
            return None;
        } else {
            let (project, located) = (project.display(), located.display());
            format!(
                "expected a file of the project `{project}`, found \"{import}\", which leads to `{located}`"
            )
        };
        let folder = located.parent().unwrap_or(located).display();
        Some(
            Diagnostic::error("import-outside-project", place, message)
                .help(format!("if you trust that folder, allow it: `--allow-import {folder}`")),
        )
    }
}
