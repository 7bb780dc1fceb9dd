//! A folder of the cache that one process at a time fills once, if there is enough space.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::progress::gigabytes;

/// The paths of one installation in the cache.
pub(crate) struct Place {
    cache: PathBuf,
    name: String,
    /// The name of the installation in messages.
    pub(crate) title: String,
}

/// The sizes of an installation.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// In bytes.
    pub(crate) download: u64,
    /// In bytes.
    pub(crate) installed: u64,
}

impl Sizes {
    /// The space that must be free: both sizes at once, and some reserve.
    fn needed(self) -> u64 {
        self.download + self.installed + 500_000_000
    }
}

/// Held by the process that installs. It is released when this process and all children that it started have ended.
pub(crate) struct Lock(File);

impl Lock {
    /// The lock's file as a child's input. The child reads nothing, but while it has the file open, the lock holds even
    /// if this process is killed.
    pub(crate) fn shared(&self) -> Result<Stdio> {
        Ok(self.0.try_clone().context("the lock cannot be shared with a child")?.into())
    }
}

impl Place {
    /// The installation `name` in the folder `cache`.
    pub(crate) fn new(cache: &Path, name: impl Into<String>, title: impl Into<String>) -> Self {
        Self { cache: cache.to_path_buf(), name: name.into(), title: title.into() }
    }

    /// The folder of the installation.
    pub(crate) fn environment(&self) -> PathBuf {
        self.cache.join(&self.name)
    }

    /// The log of pip's output.
    pub(crate) fn log(&self) -> PathBuf {
        self.beside("log")
    }

    /// A path next to the installation, with the same name and an extension.
    pub(crate) fn beside(&self, extension: &str) -> PathBuf {
        self.cache.join(format!("{}.{extension}", self.name))
    }

    /// Makes the cache's folder, and waits until no other process installs here.
    pub(crate) fn lock(&self) -> Result<Lock> {
        fs::create_dir_all(&self.cache).with_context(|| {
            format!(
                "the cache `{}` cannot be made; the variable `AENT_CACHE` names another",
                self.cache.display()
            )
        })?;
        let path = self.beside("lock");
        let file = File::options().create(true).read(true).append(true).open(&path);
        let file = file.with_context(|| format!("`{}` cannot be written", path.display()))?;
        if file.try_lock().is_err() {
            println!(
                "      another process is installing {} (it holds `{}`); waiting for it",
                self.title,
                path.display()
            );
            file.lock().with_context(|| format!("`{}` cannot be locked", path.display()))?;
        }
        Ok(Lock(file))
    }

    /// Checks that the installation fits, and announces it.
    pub(crate) fn announce(&self, sizes: Sizes) -> Result<()> {
        self.require_space(free_space(&self.cache), sizes.needed())?;
        println!("      {} is not there yet; installing it, once for all clones of this user", self.title);
        println!("      into    {}", self.environment().display());
        println!(
            "      size    about {} to download, {} on disk",
            gigabytes(sizes.download),
            gigabytes(sizes.installed)
        );
        Ok(())
    }

    fn require_space(&self, free: Option<u64>, needed: u64) -> Result<()> {
        match free {
            Some(free) if free < needed => bail!(
                "installing {} needs {} free in `{}`, and {} are\nfree some, or name a folder on a larger disk in the \
                 variable `AENT_CACHE`",
                self.title,
                gigabytes(needed),
                self.cache.display(),
                gigabytes(free)
            ),
            _ => Ok(()),
        }
    }
}

/// Removes what a killed installation left behind, and incomplete environments. The lock must be held.
pub(crate) fn clear(remains: &[PathBuf]) -> Result<()> {
    for remains in remains.iter().filter(|remains| remains.exists()) {
        println!("      `{}` was left unfinished; removing it and starting again", remains.display());
        fs::remove_dir_all(remains).with_context(|| format!("`{}` cannot be removed", remains.display()))?;
    }
    Ok(())
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(folder).ok()?;
    Some(space.f_bavail * space.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(cache: &Path) -> Place {
        Place::new(cache, "thing-1.0", "the thing")
    }

    #[test]
    fn too_little_space_is_told_with_both_sizes() {
        let place = place(Path::new("/c"));
        let text = place.require_space(Some(1_000_000_000), 7_800_000_000).unwrap_err().to_string();
        for part in ["the thing", "7.8 GB", "1.0 GB", "`AENT_CACHE`"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(place.require_space(Some(8_000_000_000), 7_800_000_000).is_ok());
        assert!(place.require_space(None, 7_800_000_000).is_ok());
    }

    #[test]
    fn both_the_download_and_what_it_becomes_must_fit() {
        assert_eq!(Sizes { download: 2, installed: 5 }.needed(), 500_000_007);
    }

    #[test]
    fn what_a_killed_installation_left_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let remains = [place.environment(), place.beside("partial")];
        for folder in &remains {
            fs::create_dir_all(folder.join("lib")).unwrap();
        }
        clear(&remains).unwrap();
        assert!(!remains[0].exists() && !remains[1].exists());
        clear(&remains).unwrap();
    }

    #[test]
    fn only_one_process_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder.path().join("cache"));
        let held = place.lock().unwrap();
        let other = File::open(place.beside("lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn two_installations_do_not_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let _held = place(folder.path()).lock().unwrap();
        let other = Place::new(folder.path(), "other-1.0", "the other");
        assert!(File::create(other.beside("lock")).unwrap().try_lock().is_ok());
    }
}
