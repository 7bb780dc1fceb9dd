//! A folder of the cache that one process at a time fills, completely or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cache;

/// Space that stays free.
const RESERVE: u64 = 500_000_000;

/// Where one installation is in the cache.
pub(crate) struct Place {
    cache: PathBuf,
    name: String,
    title: String,
    sizes: [u64; 2],
}

impl Place {
    /// The place with this name, and a title for messages. The sizes are the bytes to download, and the bytes that they
    /// take on the disk; they are unpacked as they come.
    pub(crate) fn new(name: &str, title: &str, sizes: [u64; 2]) -> Result<Self> {
        Ok(Self { cache: cache::folder()?, name: name.to_owned(), title: title.to_owned(), sizes })
    }

    /// What `find` finds in the folder. If it finds nothing, `fill` fills another folder, which is then renamed: what a
    /// killed process leaves behind never has the right name.
    ///
    /// `fill` gets the file of the lock, to be the input of the processes that it starts. They read nothing, but while
    /// they have the file open, the lock holds even if this process is killed.
    pub(crate) fn find_or_fill<T>(
        &self,
        find: impl Fn(&Path) -> Option<T>,
        fill: impl FnOnce(&Path, &File) -> Result<()>,
    ) -> Result<T> {
        let folder = self.cache.join(&self.name);
        if let Some(found) = find(&folder) {
            return Ok(found);
        }
        let lock = self.lock()?;
        if let Some(found) = find(&folder) {
            return Ok(found);
        }
        let partial = self.beside("partial");
        for remains in [&partial, &folder].into_iter().filter(|remains| remains.exists()) {
            println!("      `{}` was left unfinished; removing it and starting again", remains.display());
            fs::remove_dir_all(remains)
                .with_context(|| format!("`{}` cannot be removed", remains.display()))?;
        }
        self.require_space(free_space(&self.cache))?;
        println!("      {} is not there yet; installing it, once for all clones of this user", self.title);
        println!("      into    {}", folder.display());
        let [download, installed] = self.sizes.map(shown);
        println!("      size    about {download} to download, {installed} on disk");
        fill(&partial, &lock)?;
        if find(&partial).is_none() {
            bail!("{} was installed, and is not whole in `{}`", self.title, partial.display());
        }
        fs::rename(&partial, &folder).context("the finished installation cannot be renamed")?;
        find(&folder).context("the finished installation cannot be found")
    }

    /// Makes the cache's folder, and waits until no other process installs here.
    fn lock(&self) -> Result<File> {
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
            let path = path.display();
            println!(
                "      another process is installing {} (it holds `{path}`); waiting for it",
                self.title
            );
            file.lock().with_context(|| format!("`{path}` cannot be locked"))?;
        }
        Ok(file)
    }

    fn require_space(&self, free: Option<u64>) -> Result<()> {
        let needed = self.sizes[1] + RESERVE;
        match free {
            Some(free) if free < needed => bail!(
                "installing {} needs {} free in `{}`, and {} are\nfree some, or name a folder on a larger disk in the \
                 variable `AENT_CACHE`",
                self.title,
                shown(needed),
                self.cache.display(),
                shown(free)
            ),
            _ => Ok(()),
        }
    }

    /// A path next to the installation, with the same name and an extension.
    fn beside(&self, extension: &str) -> PathBuf {
        self.cache.join(format!("{}.{extension}", self.name))
    }
}

/// A size in decimal units.
fn shown(bytes: u64) -> String {
    if bytes < 100_000_000 {
        format!("{} MB", bytes / 1_000_000)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
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
        let sizes = [20_000_000, 1_500_000_000];
        let (name, title) = ("thing-1.0".to_owned(), "the thing".to_owned());
        Place { cache: cache.to_path_buf(), name, title, sizes }
    }

    fn found(folder: &Path) -> Option<String> {
        fs::read_to_string(folder.join("whole")).ok()
    }

    #[test]
    fn too_little_space_is_told_with_both_sizes() {
        let place = place(Path::new("/c"));
        let text = place.require_space(Some(50_000_000)).unwrap_err().to_string();
        for part in ["the thing needs 2.0 GB free in `/c`, and 50 MB are", "`AENT_CACHE`"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(place.require_space(Some(2_000_000_000)).is_ok());
        assert!(place.require_space(None).is_ok());
    }

    #[test]
    fn a_place_is_filled_once_and_completely() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let place = Place { sizes: [0, 0], ..place(&cache) };
        let fill = |file: &'static str, text: &'static str| {
            move |partial: &Path, _: &File| {
                fs::create_dir(partial)?;
                Ok(fs::write(partial.join(file), text)?)
            }
        };
        let interrupted = |partial: &Path, _: &File| {
            fs::create_dir(partial)?;
            fs::write(partial.join("whole"), "half")?;
            bail!("no network")
        };
        assert_eq!(place.find_or_fill(found, interrupted).unwrap_err().to_string(), "no network");
        let text = place.find_or_fill(found, fill("another", "")).unwrap_err().to_string();
        assert!(text.contains("is not whole"), "{text}");
        assert_eq!(place.find_or_fill(found, fill("whole", "first")).unwrap(), "first");
        assert_eq!(place.find_or_fill(found, fill("whole", "second")).unwrap(), "first");
        let names = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["thing-1.0", "thing-1.0.lock"]);
    }

    #[test]
    fn one_process_holds_the_lock_of_one_installation() {
        let folder = tempfile::tempdir().unwrap();
        let (place, other) =
            (place(folder.path()), Place { name: "other".to_owned(), ..place(folder.path()) });
        let held = place.lock().unwrap();
        let again = File::open(place.beside("lock")).unwrap();
        assert!(again.try_lock().is_err());
        assert!(File::create(other.beside("lock")).unwrap().try_lock().is_ok());
        drop(held);
        assert!(again.try_lock().is_ok());
    }
}
