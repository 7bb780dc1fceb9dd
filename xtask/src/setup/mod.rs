//! Finds or installs libtorch and links it into the clone as `.libtorch`.

mod cache;
mod compiler;
mod environments;
mod place;
mod torch;
mod uv;

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
#[cfg(windows)]
use std::os::windows::fs::symlink_dir as symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use environments::{Environment, package_environment, torch_environment};
pub(crate) use torch::TORCH;
use torch::inspect;
pub(crate) use uv::{PYTHONS, Uv};

/// The link that `.cargo/config.toml` passes to every cargo command in this clone.
const LINK: &str = ".libtorch";

/// Makes plain cargo work in this clone. If it already does, only checks.
pub(crate) fn setup(root: &Path) -> Result<()> {
    compiler::check()?;
    let link = root.join(LINK);
    let (torch, origin) = find(&link)?;
    make_link(&link, &torch)?;
    println!("      libtorch {TORCH} from {origin}: {}", torch.display());
    Ok(())
}

/// The folder of libtorch, and a description of where it comes from.
fn find(link: &Path) -> Result<(PathBuf, String)> {
    if let Some(torch) = own_variable(std::env::var_os("LIBTORCH").map(PathBuf::from), link) {
        return Ok((from_variable(&torch)?, "the variable `LIBTORCH`".to_owned()));
    }
    if let Ok(torch) = fs::canonicalize(link)
        && inspect(&torch).is_ok()
    {
        return Ok((torch, format!("the link `{LINK}`, made before")));
    }
    if let Some(torch) = torch::active() {
        match inspect(&torch) {
            Ok(()) => return Ok((torch, "the active `python3`".to_owned())),
            Err(refusal) => println!("      the active `python3` is passed over: {refusal}"),
        }
    }
    let environment = torch_environment(TORCH)?;
    Ok((environment.torch, "the cache that all clones share".to_owned()))
}

/// The user's own `LIBTORCH`. Cargo's configuration also sets the variable, to the link, which does not count.
fn own_variable(value: Option<PathBuf>, link: &Path) -> Option<PathBuf> {
    value.filter(|value| !value.as_os_str().is_empty() && value != link)
}

fn from_variable(torch: &Path) -> Result<PathBuf> {
    let way_out = "name another folder, or run `unset LIBTORCH` and let this command find or install one";
    if torch.is_relative() {
        bail!("`LIBTORCH` must be an absolute path, found `{}`: {way_out}", torch.display());
    }
    if let Err(refusal) = inspect(torch) {
        bail!("`LIBTORCH` cannot be used: {refusal}\n{way_out}");
    }
    Ok(torch.to_path_buf())
}

/// Points the link to `target` atomically.
pub(crate) fn make_link(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|before| before == target) {
        return Ok(());
    }
    if link.is_dir() && !link.is_symlink() {
        bail!("`{}` is a folder, and should be a link made by this command: move it away", link.display());
    }
    let beside = link.with_extension("new");
    let _ = fs::remove_file(&beside);
    symlink(target, &beside)
        .and_then(|()| fs::rename(&beside, link))
        .with_context(|| format!("the link `{}` cannot be made", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::torch::tests::fake_torch;

    #[test]
    fn the_variable_of_cargos_configuration_is_not_the_users() {
        let link = Path::new("/clone/.libtorch");
        assert_eq!(own_variable(Some("/clone/.libtorch".into()), link), None);
        assert_eq!(own_variable(Some("".into()), link), None);
        assert_eq!(own_variable(None, link), None);
        assert_eq!(own_variable(Some("/opt/torch".into()), link), Some("/opt/torch".into()));
    }

    #[test]
    fn a_variable_with_another_version_names_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        fake_torch(folder.path(), "2.7.1+cu126");
        let text = from_variable(folder.path()).unwrap_err().to_string();
        assert!(
            text.contains("2.7.1+cu126") && text.contains(TORCH) && text.contains("unset LIBTORCH"),
            "{text}"
        );
    }

    #[test]
    fn a_relative_variable_is_refused() {
        let text = from_variable(Path::new("torch")).unwrap_err().to_string();
        assert!(text.contains("absolute path, found `torch`"), "{text}");
    }

    #[test]
    fn a_link_is_made_and_later_points_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (link, one, two) =
            (folder.path().join(LINK), folder.path().join("one"), folder.path().join("two"));
        make_link(&link, &one).unwrap();
        make_link(&link, &two).unwrap();
        make_link(&link, &two).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), two);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the link");
    }

    #[test]
    fn a_folder_in_the_links_place_is_not_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join(LINK);
        fs::create_dir(&link).unwrap();
        assert!(make_link(&link, Path::new("/opt/torch")).is_err());
        assert!(link.is_dir());
    }
}
