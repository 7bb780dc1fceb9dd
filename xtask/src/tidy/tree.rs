//! Reads the repository's text files, without what is built or downloaded.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A text file of the repository.
pub(crate) struct TextFile {
    /// Its path in the workspace, with forward slashes.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

impl TextFile {
    /// A file with its path and text.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Whether it is a Rust file.
    pub(crate) fn is_rust(&self) -> bool {
        self.extension() == Some("rs")
    }

    /// The extension of its name.
    pub(crate) fn extension(&self) -> Option<&str> {
        Path::new(&self.path).extension()?.to_str()
    }
}

/// Folders that commands create anywhere.
const MADE: &[&str] = &["dist", "node_modules", "target", "runs", "corpus", "artifacts", "__pycache__"];

/// Hidden folders that belong to the repository.
const HIDDEN: &[&str] = &[".cargo", ".ci", ".github"];

/// Every file below `root` that is UTF-8, sorted by path.
pub(crate) fn read_tree(root: &Path) -> Result<Vec<TextFile>> {
    let mut files = Vec::new();
    read_folder(root, "", &mut files).with_context(|| format!("`{}` cannot be read", root.display()))?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<TextFile>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // In another work tree, `.git` is a file that points to the first.
        if name == ".git" {
            continue;
        }
        let kind = entry.file_type()?;
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            if !MADE.contains(&name.as_str()) && (!name.starts_with('.') || HIDDEN.contains(&name.as_str())) {
                read_folder(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file()
            && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
        {
            files.push(TextFile::new(path, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_or_hidden_or_not_text_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "src/lib.rs",
            "target/debug/x.rs",
            "python/__pycache__/x.pyc",
            "vscode/node_modules/x/y.js",
            ".git/config",
            ".ci/run",
            "a.txt",
        ] {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), "text").unwrap();
        }
        fs::write(folder.path().join("picture"), [0xff, 0xfe]).unwrap();
        let paths: Vec<_> = read_tree(folder.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, [".ci/run", "a.txt", "src/lib.rs"]);
    }
}
