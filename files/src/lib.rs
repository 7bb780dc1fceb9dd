//! Files that are written whole or not at all, and whether two paths lead to one file.
//!
//! A file is written beside its place, brought to the disk, and renamed. A kill, a full disk or an error at any
//! moment leaves the old file or the new one, and readers never see half of either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How the names of unfinished files begin. After a kill such a file may be left over; it can be deleted.
pub const PREFIX: &str = ".aent-";

/// As many symbolic links may follow one another, as on Linux.
const MAX_LINKS: usize = 40;

/// Writes a file whole; see [`replace`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |beside| OpenOptions::new().write(true).open(beside)?.write_all(bytes))
}

/// Has `fill` write to a path beside `path`, then puts that file in `path`'s place.
///
/// A symbolic link stays one: the file that it leads to is replaced. An existing file keeps its permissions and,
/// where the system allows it, its owner; a new one gets those of any new file. A file that may not be written is
/// refused, although a rename would need no permission of the file's. A device or a pipe has no place to rename
/// to, so `fill` gets its own path.
pub fn replace<E: From<io::Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let path = followed(path)?;
    let old = match fs::metadata(&path) {
        Ok(old) if !old.is_file() && !old.is_dir() => return fill(&path),
        Ok(old) => {
            // Nothing is written yet: this asks whether it may be.
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

/// Whether two paths lead to one file, be it under another spelling, by a symbolic link or by a hard link. A file
/// that is not there yet is compared by its place.
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

/// An empty file in the same folder, which is removed unless it is renamed.
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

/// Where a file that is not there would be made.
fn place(path: &Path) -> io::Result<PathBuf> {
    let path = followed(path)?;
    Ok(folder(&path).canonicalize()?.join(path.file_name().unwrap_or_default()))
}

/// The name of a temporary file is of no use in a message.
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
    // The system takes away what the user's umask forbids.
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn as_new_files(_builder: &mut tempfile::Builder<'_, '_>) {}

#[cfg(unix)]
fn keep(old: &fs::Metadata, beside: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let new = fs::metadata(beside)?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only an administrator can give files away, and a file of one's own is better than none.
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
