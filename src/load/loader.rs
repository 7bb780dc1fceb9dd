//! Reads source files, from the disk or from a source that the host supplies.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Reads source files. The compiler reads files only through this trait.
pub trait Loader {
    /// The bytes of the file that is compiled, or the error from reading it.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The bytes of a file that another one imports.
    fn read_import(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read(path)
    }

    /// The canonical path of a file, the same for every spelling and link. The file need not exist.
    fn locate(&self, path: &Path) -> PathBuf {
        normalize(path)
    }

    /// The folder that the imports of a file must stay within, in the form that [`Loader::locate`] returns. `None` if
    /// the loader itself decides what may be read.
    fn project(&self, _file: &Path) -> Option<PathBuf> {
        None
    }
}

/// The file system.
///
/// Imports stay within the project: the nearest folder at or above the compiled file that contains `.git`, or else the
/// file's own folder. [`crate::Compiler::allow_imports`] allows more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Loader for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn read_import(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Reading a pipe or a device may never end.
        let metadata = std::fs::metadata(path)?;
        if metadata.is_file() {
            return self.read(path);
        }
        let kind = if metadata.is_dir() { "a folder" } else { "a device or a pipe" };
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("expected a file, found {kind}")))
    }

    fn locate(&self, path: &Path) -> PathBuf {
        if let Ok(path) = path.canonicalize() {
            return path;
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        match (folder.canonicalize(), path.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            _ => normalize(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        }
    }

    fn project(&self, file: &Path) -> Option<PathBuf> {
        // Uses the folder of the path as given: a link to a file elsewhere belongs to this folder's project.
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => self.locate(folder),
            _ => self.locate(Path::new(".")),
        };
        let holds_git = |folder: &&Path| folder.join(".git").exists();
        Some(folder.ancestors().find(holds_git).unwrap_or(&folder).to_owned())
    }
}

/// The path without `.` and `..`, so that each file has one name.
pub(super) fn normalize(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(result.components().next_back(), Some(Component::Normal(_))) => {
                result.pop();
            }
            part => result.push(part),
        }
    }
    result
}
