//! The per-user folder that all clones share, and where torch is in it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::place::Place;
use super::torch::{TORCH, inspect};

/// A folder with one Python environment per version of torch, and the environments of the Python package.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `$AENT_CACHE`, or else `aent` in the system's folder for a user's caches.
    pub(crate) fn of_this_user() -> Result<Self> {
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        let folder = folder(|name| std::env::var_os(name), home, cfg!(target_os = "macos")).context(
            "there is no home folder to keep libtorch in: name a folder in the variable `AENT_CACHE`",
        )?;
        let folder = std::path::absolute(folder).context("`AENT_CACHE` is not a path")?;
        Ok(Self { folder })
    }

    #[cfg(test)]
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// The cache's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The place of torch. The environment gets its name only once it is complete.
    pub(crate) fn torch_place(&self) -> Place {
        self.torch_place_of(TORCH)
    }

    /// The place of another version of torch.
    pub(crate) fn torch_place_of(&self, version: &str) -> Place {
        self.place(&format!("torch-{version}"), &format!("torch {version}"))
    }

    /// The place of the installation with this name.
    pub(crate) fn place(&self, name: &str, title: &str) -> Place {
        Place::new(&self.folder, name, title)
    }

    /// Torch's folder, if it is complete.
    pub(crate) fn torch(&self) -> Option<PathBuf> {
        torch_in(&self.torch_place().environment(), TORCH)
    }
}

/// Torch's folder in a Python environment. Pip writes RECORD last, so without it the installation was interrupted.
pub(crate) fn torch_in(environment: &Path, version: &str) -> Option<PathBuf> {
    let mut versions: Vec<_> =
        fs::read_dir(environment.join("lib")).ok()?.flatten().map(|entry| entry.path()).collect();
    versions.sort();
    versions.into_iter().map(|python| python.join("site-packages")).find_map(|packages| {
        let torch = packages.join("torch");
        let whole = packages.join(format!("torch-{version}.dist-info/RECORD")).is_file();
        // Rust links this version, so it also needs headers and libraries.
        (whole && (version != TORCH || inspect(&torch).is_ok())).then_some(torch)
    })
}

fn folder(
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
    macos: bool,
) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = set("AENT_CACHE") {
        return Some(own);
    }
    if let Some(caches) = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        return Some(caches.join("aent"));
    }
    let caches = if macos { "Library/Caches" } else { ".cache" };
    Some(home?.join(caches).join("aent"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::torch::tests::fake_torch;

    fn chosen(set: &[(&str, &str)], macos: bool) -> PathBuf {
        let variable =
            |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        folder(variable, Some("/me".into()), macos).unwrap()
    }

    #[test]
    fn the_projects_own_variable_comes_first() {
        assert_eq!(chosen(&[("AENT_CACHE", "/big"), ("XDG_CACHE_HOME", "/xdg")], false), Path::new("/big"));
        assert_eq!(chosen(&[("AENT_CACHE", ""), ("XDG_CACHE_HOME", "/xdg")], false), Path::new("/xdg/aent"));
    }

    #[test]
    fn without_variables_the_systems_folder_is_used() {
        assert_eq!(chosen(&[], false), Path::new("/me/.cache/aent"));
        assert_eq!(chosen(&[], true), Path::new("/me/Library/Caches/aent"));
        assert_eq!(chosen(&[("XDG_CACHE_HOME", "relative")], false), Path::new("/me/.cache/aent"));
    }

    #[test]
    fn without_a_home_there_is_no_cache() {
        assert_eq!(folder(|_| None, None, false), None);
    }

    #[test]
    fn torch_is_found_only_when_pip_had_finished() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        assert_eq!(cache.torch(), None);
        let packages = cache.torch_place().environment().join("lib/python3.11/site-packages");
        fake_torch(&packages.join("torch"), TORCH);
        assert_eq!(cache.torch(), None);
        fs::create_dir(packages.join(format!("torch-{TORCH}.dist-info"))).unwrap();
        fs::write(packages.join(format!("torch-{TORCH}.dist-info/RECORD")), "").unwrap();
        assert_eq!(cache.torch(), Some(packages.join("torch")));
    }
}
