//! Compiled kernels on disk, so that the second start of a program does not compile.
//! A cache that cannot be read or written is not an error, only slow.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use sha2::{Digest, Sha256};

/// Reads the image kept under the key; none if a single bit of it is not as it was written.
pub(super) fn read(key: &str) -> Option<Vec<u8>> {
    read_in(&folder()?, key)
}

/// Keeps an image under the key.
pub(super) fn write(key: &str, image: &[u8]) {
    if let Some(folder) = folder() {
        // A failure only costs time.
        let _ = write_in(&folder, key, image);
    }
}

/// Removes what is kept under the key.
pub(super) fn forget(key: &str) {
    if let Some(folder) = folder() {
        // What stays is replaced by the next image under its key.
        let _ = fs::remove_file(folder.join(name(key)));
    }
}

/// The bytes of a hash.
const HASH: usize = 32;

/// A file is the hash of the key, the hash of the image, and the image to the end of the file.
fn read_in(folder: &Path, key: &str) -> Option<Vec<u8>> {
    let file = fs::read(folder.join(name(key))).ok()?;
    let (of_key, rest) = file.split_first_chunk::<HASH>()?;
    let (of_image, image) = rest.split_first_chunk::<HASH>()?;
    (*of_key == hash(key.as_bytes()) && *of_image == hash(image)).then(|| image.to_vec())
}

/// Other processes see the whole file or none.
fn write_in(folder: &Path, key: &str, image: &[u8]) -> std::io::Result<()> {
    create(folder)?;
    let file = [&hash(key.as_bytes())[..], &hash(image), image].concat();
    aent_files::write(&folder.join(name(key)), &file)
}

fn hash(bytes: &[u8]) -> [u8; HASH] {
    Sha256::digest(bytes).into()
}

fn name(key: &str) -> String {
    let hash = hash(key.as_bytes());
    let start = u128::from_be_bytes(std::array::from_fn(|byte| hash[byte]));
    format!("{start:032x}.kernel")
}

/// Creates the folder for its user alone.
fn create(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The user's cache folder for kernels. What lies there runs in the user's processes, so a folder that others can write to is
/// not used.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = set("AENT_CACHE").or_else(|| {
        let caches = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| {
            let within = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
            set("HOME").map(|home| home.join(within))
        })?;
        Some(caches.join("aent"))
    })?;
    let folder = own.join("kernels");
    if let Some(why) = shared(&folder) {
        static SAID: Once = Once::new();
        SAID.call_once(|| log::warn!("kernels are not kept in {}: {why}", folder.display()));
        return None;
    }
    Some(folder)
}

/// Who else can write to a folder, in words; none where it is not there yet.
#[cfg(unix)]
fn shared(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let found = fs::metadata(folder).ok()?;
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Some(format!("it belongs to user {}, and this process to user {user}", found.uid()));
    }
    let others = found.mode() & 0o022 != 0;
    others.then(|| "other users can write to it; `chmod go-w` makes it yours".to_owned())
}

/// On other systems there is no CUDA, or the user's profile is the user's own.
#[cfg(not(unix))]
fn shared(_folder: &Path) -> Option<String> {
    None
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
        // Another key with the same file name.
        fs::rename(inner.join(name("a")), inner.join(name("b"))).unwrap();
        assert_eq!(read_in(&inner, "b"), None);
    }

    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_not_a_kernel() {
        let folder = tempfile::tempdir().unwrap();
        write_in(folder.path(), "key", b"an image").unwrap();
        let path = folder.path().join(name("key"));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read_in(folder.path(), "key"), None, "cut after {length} bytes");
            let mut changed = whole.clone();
            changed[length] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert_eq!(read_in(folder.path(), "key"), None, "byte {length} changed");
        }
        fs::write(&path, [&whole[..], b"!"].concat()).unwrap();
        assert_eq!(read_in(folder.path(), "key"), None, "longer than it was");
        fs::write(&path, &whole).unwrap();
        assert_eq!(read_in(folder.path(), "key").as_deref(), Some(b"an image".as_slice()));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};

        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("kernels");
        assert_eq!(shared(&folder), None);
        create(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(shared(&folder), None);
        for mode in [0o720, 0o702] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            assert!(shared(&folder).unwrap().contains("chmod go-w"));
        }
    }
}
