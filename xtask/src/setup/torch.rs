//! Checks whether a folder is the libtorch that this workspace builds with.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The only version of torch that works with the workspace's `tch`.
pub(crate) const TORCH: &str = "2.11.0";

/// Why a folder is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such folder.
    Missing(PathBuf),
    /// Nothing in the folder states torch's version.
    Unversioned(PathBuf),
    /// Another version of torch.
    Version { folder: PathBuf, found: String },
    /// The version is right, but a file is missing.
    Incomplete { folder: PathBuf, file: String },
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(folder) => write!(out, "there is no folder `{}`", folder.display()),
            Self::Unversioned(folder) => write!(
                out,
                "`{}` is not libtorch: expected a file `version.py` or `build-version` in it that tells version {TORCH}",
                folder.display()
            ),
            Self::Version { folder, found } => {
                write!(out, "expected torch {TORCH}, found torch {found} in `{}`", folder.display())
            }
            Self::Incomplete { folder, file } => {
                write!(out, "torch {TORCH} in `{}` is not whole: `{file}` is missing", folder.display())
            }
        }
    }
}

/// Whether the folder contains headers and libraries of [`TORCH`].
pub(crate) fn inspect(folder: &Path) -> Result<(), Refusal> {
    if !folder.is_dir() {
        return Err(Refusal::Missing(folder.to_path_buf()));
    }
    let found = version(folder).ok_or_else(|| Refusal::Unversioned(folder.to_path_buf()))?;
    if release(&found) != TORCH {
        return Err(Refusal::Version { folder: folder.to_path_buf(), found });
    }
    let library = format!("lib/{}torch_cpu{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    for file in ["include/torch/csrc/api/include/torch/torch.h", &library] {
        if !folder.join(file).is_file() {
            return Err(Refusal::Incomplete { folder: folder.to_path_buf(), file: file.to_owned() });
        }
    }
    Ok(())
}

/// The version in `version.py` of a Python package, or in `build-version` of a C++ distribution.
fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("version.py")) {
        return version_in_python(&text);
    }
    let text = fs::read_to_string(folder.join("build-version")).ok()?;
    Some(text.trim().to_owned()).filter(|version| !version.is_empty())
}

/// The value of the line `__version__ = '2.11.0+cu130'`.
fn version_in_python(text: &str) -> Option<String> {
    let value =
        text.lines().find_map(|line| line.strip_prefix("__version__")?.trim_start().strip_prefix('='))?;
    let value = value.trim().trim_matches(['\'', '"']);
    Some(value.to_owned()).filter(|version| !version.is_empty())
}

/// The version without the part that names the device.
fn release(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
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
            assert_eq!(inspect(folder.path()), Ok(()));
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
        assert_eq!(inspect(folder.path()), Ok(()));
    }

    #[test]
    fn a_folder_that_is_not_torch_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        assert!(inspect(folder.path()).unwrap_err().to_string().contains("`version.py`"));
        assert_eq!(inspect(&folder.path().join("no")), Err(Refusal::Missing(folder.path().join("no"))));
    }

    #[test]
    fn half_an_installation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fake_torch(folder.path(), TORCH);
        fs::remove_dir_all(folder.path().join("lib")).unwrap();
        assert!(matches!(inspect(folder.path()), Err(Refusal::Incomplete { .. })));
    }
}
