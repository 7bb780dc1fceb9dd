//! The per-user folder that all clones share.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder with one Python environment per version of torch, the environments of the Python package, and uv:
/// `$AENT_CACHE`, or else `aent` in the system's folder for a user's caches.
pub(crate) fn folder() -> Result<PathBuf> {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    let folder = choose(|name| std::env::var_os(name), home, cfg!(target_os = "macos"))
        .context("there is no home folder to keep libtorch in: name a folder in the variable `AENT_CACHE`")?;
    std::path::absolute(folder).context("`AENT_CACHE` is not a path")
}

fn choose(
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
    use std::path::Path;

    use super::*;

    fn chosen(set: &[(&str, &str)], macos: bool) -> PathBuf {
        let variable =
            |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        choose(variable, Some("/me".into()), macos).unwrap()
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
        assert_eq!(choose(|_| None, None, false), None);
    }
}
