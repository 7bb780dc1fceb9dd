//! Checks whether a folder is the libtorch that this workspace builds with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::steps::ask;

/// The only version of torch that works with the workspace's `tch`.
pub(crate) const TORCH: &str = "2.11.0";

/// Finds torch without importing it, which would take seconds.
const WHERE_IS_TORCH: &str =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s and s.origin else '')";

/// Refuses a folder that does not contain headers and libraries of [`TORCH`].
pub(crate) fn inspect(folder: &Path) -> Result<()> {
    let shown = folder.display();
    if !folder.is_dir() {
        bail!("there is no folder `{shown}`");
    }
    let found = version(folder).with_context(|| {
        format!(
            "`{shown}` is not libtorch: expected a file `version.py` or `build-version` in it that tells version {TORCH}"
        )
    })?;
    // What follows the sign names the device.
    if found.split('+').next() != Some(TORCH) {
        bail!("expected torch {TORCH}, found torch {found} in `{shown}`");
    }
    let library = format!("lib/{}torch_cpu{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    for file in ["include/torch/csrc/api/include/torch/torch.h", &library] {
        if !folder.join(file).is_file() {
            bail!("torch {TORCH} in `{shown}` is not whole: `{file}` is missing");
        }
    }
    Ok(())
}

/// Torch's folder in the active `python3`, if it has one.
pub(crate) fn active() -> Option<PathBuf> {
    let origin = PathBuf::from(ask("python3", &["-c", WHERE_IS_TORCH])?);
    origin.parent().filter(|folder| folder.is_absolute()).map(PathBuf::from)
}

/// The version in `version.py` of a Python package, as `__version__ = '2.11.0+cu130'`, or in `build-version` of a C++
/// distribution.
fn version(folder: &Path) -> Option<String> {
    let text = match fs::read_to_string(folder.join("version.py")) {
        Ok(text) => text
            .lines()
            .find_map(|line| line.strip_prefix("__version__")?.trim_start().strip_prefix('='))?
            .to_owned(),
        Err(_) => fs::read_to_string(folder.join("build-version")).ok()?,
    };
    Some(text.trim().trim_matches(['\'', '"']).to_owned()).filter(|version| !version.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes the files that [`inspect`] checks into `folder`.
    pub(crate) fn fake_torch(folder: &Path, version: &str) {
        let library =
            format!("lib/{}torch_cpu{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        for file in ["include/torch/csrc/api/include/torch/torch.h", library.as_str()] {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), "").unwrap();
        }
        fs::write(
            folder.join("version.py"),
            format!("__all__ = ['__version__']\n__version__ = '{version}'\n"),
        )
        .unwrap();
    }

    #[test]
    fn any_device_of_the_right_version_will_do() {
        for version in ["2.11.0", "2.11.0+cpu", "2.11.0+cu130"] {
            let folder = tempfile::tempdir().unwrap();
            fake_torch(folder.path(), version);
            inspect(folder.path()).unwrap();
        }
    }

    #[test]
    fn another_version_is_refused_with_both_versions() {
        for version in ["2.11.1", "2.1.0", "2.12.0+cpu", "2.11.0rc1", "12.11.0"] {
            let folder = tempfile::tempdir().unwrap();
            fake_torch(folder.path(), version);
            let text = inspect(folder.path()).unwrap_err().to_string();
            assert!(text.starts_with(&format!("expected torch {TORCH}, found torch {version} in")), "{text}");
        }
    }

    #[test]
    fn a_cpp_distribution_tells_its_version_too() {
        let folder = tempfile::tempdir().unwrap();
        fake_torch(folder.path(), "");
        fs::remove_file(folder.path().join("version.py")).unwrap();
        fs::write(folder.path().join("build-version"), "2.11.0+cpu\n").unwrap();
        inspect(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_torch_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        assert!(inspect(folder.path()).unwrap_err().to_string().contains("`version.py`"));
        assert!(
            inspect(&folder.path().join("no")).unwrap_err().to_string().starts_with("there is no folder")
        );
    }

    #[test]
    fn half_an_installation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fake_torch(folder.path(), TORCH);
        fs::remove_dir_all(folder.path().join("lib")).unwrap();
        assert!(inspect(folder.path()).unwrap_err().to_string().contains("is not whole: `lib/"));
    }
}
