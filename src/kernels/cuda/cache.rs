//! Compiled kernels on disk, so that the second start of a program does not compile.
//! A cache that cannot be read or written is not an error, only slow.

use std::fs;
use std::path::{Path, PathBuf};

/// Reads the bytes kept under the key.
pub(super) fn read(key: &str) -> Option<Vec<u8>> {
    read_in(&folder()?, key)
}

/// Keeps bytes under the key.
pub(super) fn write(key: &str, bytes: &[u8]) {
    if let Some(folder) = folder() {
        // A failure only costs time.
        let _ = write_in(&folder, key, bytes);
    }
}

fn read_in(folder: &Path, key: &str) -> Option<Vec<u8>> {
    let file = fs::read(folder.join(name(key))).ok()?;
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (kept, bytes) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    // Two keys may share a file name.
    (kept == key.as_bytes()).then(|| bytes.to_vec())
}

/// Other processes see the whole file or none.
fn write_in(folder: &Path, key: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let length = (key.len() as u64).to_le_bytes();
    aent_files::write(&folder.join(name(key)), &[&length, key.as_bytes(), bytes].concat())
}

/// The file name: the 64-bit FNV-1a hash of the key.
fn name(key: &str) -> String {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}.kernel")
}

/// The user's cache folder for kernels.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = set("AENT_CACHE").or_else(|| {
        let caches = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| {
            let within = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
            set("HOME").map(|home| home.join(within))
        })?;
        Some(caches.join("aent"))
    })?;
    Some(own.join("kernels"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_under_its_whole_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("not/there/yet");
        assert_eq!(read_in(&inner, "a"), None);
        write_in(&inner, "a", b"one").unwrap();
        write_in(&inner, "a", b"two").unwrap();
        assert_eq!(read_in(&inner, "a").as_deref(), Some(b"two".as_slice()));
        assert_eq!(read_in(&inner, "b"), None);
        // Simulates another key with the same file name.
        fs::rename(inner.join(name("a")), inner.join(name("b"))).unwrap();
        assert_eq!(read_in(&inner, "b"), None);
    }

    #[test]
    fn a_file_cut_short_is_not_a_kernel() {
        let folder = tempfile::tempdir().unwrap();
        write_in(folder.path(), "key", b"bytes").unwrap();
        let path = folder.path().join(name("key"));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..10]).unwrap();
        assert_eq!(read_in(folder.path(), "key"), None);
        fs::write(&path, &whole[..3]).unwrap();
        assert_eq!(read_in(folder.path(), "key"), None);
    }
}
