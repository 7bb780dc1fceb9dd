//! `cargo xtask site`: builds the documentation as one searchable site.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::setup::{PYTHONS, Uv};
use crate::steps::{Steps, check};

/// The title of the step that builds it.
pub(crate) const TITLE: &str = "documentation as a site (the first time 60 MB are downloaded)";

const SITE: &str = "target/site";

/// Builds the site and says where it is.
pub(crate) fn site(root: &Path) -> Result<()> {
    let mut steps = Steps::new(1);
    let index = steps.run(TITLE, || build(root))?;
    steps.finish(&format!("open `{}`", index.display()));
    Ok(())
}

/// Writes the pages, which checks links to files, and builds the site, which checks links to headings.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    let uv = Uv::find_or_install()?;
    let python = |arguments: &[&str]| -> Command {
        let with = ["run", "--quiet", "--no-project", "--python", PYTHONS, "--with-requirements"];
        let mut command = uv.command(&with);
        command.arg("site/requirements.txt").args(arguments).current_dir(root);
        command
    };
    check(python(&["python", "-P", "site/pages.py", SITE]), "what Python says stands above")?;
    let config = format!("{SITE}/mkdocs.yml");
    let build = python(&["zensical", "build", "--clean", "--strict", "--config-file", &config]);
    check(build, "each issue above names a page and a link in it")?;
    Ok(root.join(SITE).join("html/index.html"))
}
