//! Installs torch into the cache, completely or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cache::{Cache, torch_in};
use super::pip;
use super::place::{Sizes, clear};
use super::torch::TORCH;

/// Linux's wheel brings CUDA's libraries, macOS's does not.
const SIZES: Sizes = if cfg!(target_os = "macos") {
    Sizes { download: 150_000_000, installed: 600_000_000 }
} else {
    Sizes { download: 2_720_000_000, installed: 4_700_000_000 }
};

/// Torch's folder, after this or another process has installed it for the Python `python`.
pub(crate) fn install(cache: &Cache, python: &str) -> Result<PathBuf> {
    install_version(cache, python, TORCH, &[])
}

/// The same for any version, with other packages next to it.
pub(crate) fn install_version(
    cache: &Cache,
    python: &str,
    version: &str,
    beside: &[&str],
) -> Result<PathBuf> {
    let place = cache.torch_place_of(version);
    let lock = place.lock()?;
    let found = || torch_in(&place.environment(), version);
    if let Some(torch) = found() {
        return Ok(torch);
    }
    let partial = place.beside("partial");
    clear(&[partial.clone(), place.environment()])?;
    place.announce(SIZES)?;
    println!("      another place: stop, and set the variable `AENT_CACHE`; torch of your own: `LIBTORCH`");
    pip::make_environment(Path::new(python), &partial, &lock)?;
    let wanted = pip::Wanted {
        packages: std::iter::once(format!("torch=={version}"))
            .chain(beside.iter().map(ToString::to_string))
            .map(Into::into)
            .collect(),
        for_builds: None,
        sizes: SIZES,
        no_match: format!(
            "the package index has no torch {version} for this system and Python; name a libtorch {TORCH} of your own in \
             the variable `LIBTORCH`"
        ),
    };
    pip::install(&partial, &place, &wanted, &lock)?;
    if torch_in(&partial, version).is_none() {
        bail!(
            "pip says it is done, but torch {version} is not whole; its output is in `{}`",
            place.log().display()
        );
    }
    fs::rename(&partial, place.environment()).context("the finished installation cannot be renamed")?;
    found().context("the finished installation cannot be found")
}
