//! Atomic writes of files, whether two paths lead to one file, and the files below a folder.
//!
//! A file is written to a temporary file in the same folder, flushed to the disk, and renamed. A kill, a full disk or an
//! error at any moment leaves the old file or the new one, and readers never see a part of either.

mod below;

pub use below::below;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The prefix of unfinished files. A kill may leave such a file behind; it can be deleted.
pub const PREFIX: &str = ".aent-";

/// The longest chain of symbolic links to follow, as on Linux.
const MAX_LINKS: usize = 40;

/// Writes a file atomically; see [`replace`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |beside| OpenOptions::new().write(true).open(beside)?.write_all(bytes))
}

/// Lets `fill` write to a temporary file beside `path`, then renames it to `path`.
///
/// A symbolic link stays one: its target is replaced. An existing file keeps its permissions and, where the system allows
/// it, its owner; a new one gets those of any new file. A read-only file is refused, although a rename does not need
/// write permission. Devices and pipes cannot be replaced by a rename, so `fill` gets their own path.
pub fn replace<E: From<io::Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let path = followed(path)?;
    let old = match fs::metadata(&path) {
        Ok(old) if !old.is_file() && !old.is_dir() => return fill(&path),
        Ok(old) => {
            // Only checks that the file may be written.
            OpenOptions::new().write(true).open(&path)?;
            Some(old)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let beside = beside(&path).map_err(plain)?;
    fill(&beside)?;
    if let Some(old) = old {
        keep(&old, &beside)?;
    }
    File::open(&beside)?.sync_all()?;
    beside.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether two paths lead to one file, through different spellings, symbolic links or hard links. Files that do not exist
/// yet are compared by path.
pub fn same(a: &Path, b: &Path) -> bool {
    if a == b {
        return true;
    }
    match (identity(a), identity(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b),
        _ => false,
    }
}

/// An empty file in the same folder, removed unless it is renamed.
fn beside(path: &Path) -> io::Result<tempfile::TempPath> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    as_new_files(&mut builder);
    Ok(builder.tempfile_in(folder(path))?.into_temp_path())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The end of a chain of symbolic links, which need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links follow one another"))
}

/// The path at which a missing file would be created.
fn place(path: &Path) -> io::Result<PathBuf> {
    let path = followed(path)?;
    Ok(folder(&path).canonicalize()?.join(path.file_name().unwrap_or_default()))
}

/// Removes the name of the temporary file from an error.
fn plain(error: io::Error) -> io::Error {
    match error.to_string().rsplit_once(" at path ") {
        Some((reason, _)) => io::Error::new(error.kind(), reason.to_owned()),
        None => error,
    }
}

/// With the permissions that any new file of this user gets.
#[cfg(unix)]
fn as_new_files(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    // The system applies the user's umask.
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn as_new_files(_builder: &mut tempfile::Builder<'_, '_>) {}

#[cfg(unix)]
fn keep(old: &fs::Metadata, beside: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let new = fs::metadata(beside)?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only an administrator can give a file to another user; otherwise the new file belongs to this one.
        let _ = chown(beside, Some(old.uid()), Some(old.gid()));
    }
    fs::set_permissions(beside, old.permissions())
}

#[cfg(not(unix))]
fn keep(old: &fs::Metadata, beside: &Path) -> io::Result<()> {
    fs::set_permissions(beside, old.permissions())
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

#[cfg(all(test, unix))]
mod tests;
