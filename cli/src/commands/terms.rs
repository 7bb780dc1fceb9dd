//! `aent terms`: lists everything that a file can call or read.

use crate::arguments::{Format, Terms};
use crate::{Outcome, Status, stream};

/// Lists everything, describes one item, or writes the reference.
pub(crate) fn run(arguments: &Terms) -> Outcome {
    let text = match &arguments.name {
        None if arguments.markdown => aent_show::reference(),
        None if arguments.format == Format::Json => format!("{:#}\n", aent_show::table()),
        None => aent_show::terms(),
        Some(name) => aent_show::term(name)?,
    };
    stream::print(&text)?;
    Ok(Status::Done)
}
