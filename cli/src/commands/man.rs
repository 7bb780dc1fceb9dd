//! `aent man`: the manual pages of `aent` and its commands.

use crate::arguments::{Arguments, Man};
use crate::{Outcome, Status, stream};
use clap::CommandFactory;
use std::path::Path;

/// Prints a page, or writes all of them into a folder.
pub(crate) fn run(arguments: &Man) -> Outcome {
    let mut aent = Arguments::command().disable_help_subcommand(true);
    aent.build();
    if let Some(folder) = &arguments.out {
        write(&aent, folder)?;
        return Ok(Status::Done);
    }
    let page = match &arguments.command {
        None => page(&aent)?,
        Some(name) => match aent.find_subcommand(name) {
            Some(command) => page(command)?,
            None => {
                return Ok(crate::usage(&format!("there is no command `{name}`; `aent help` lists them")));
            }
        },
    };
    stream::print(&page)?;
    Ok(Status::Done)
}

fn write(command: &clap::Command, folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make the folder `{}`: {error}", folder.display()))?;
    for of in std::iter::once(command).chain(command.get_subcommands()) {
        let path = folder.join(format!("{}.1", of.get_display_name().unwrap_or(of.get_name())));
        aent_files::write(&path, page(of)?.as_bytes())
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    }
    Ok(())
}

/// A page in roff.
fn page(command: &clap::Command) -> Result<String, String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| format!("cannot write a manual page: {error}"))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
