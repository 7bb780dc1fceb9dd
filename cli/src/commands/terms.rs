//! `aent terms`: lists everything that a file can call or read, or the functions of a file.

use crate::arguments::{Format, Terms};
use crate::{Outcome, Status, stream};
use aent_show::Search;
use std::path::Path;

/// Whether a file is meant, other than one of the library.
fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|of| of == "aent") && !name.starts_with("std/")
}

/// Lists everything or what a search finds, describes one item, or writes the reference.
pub(crate) fn run(arguments: &Terms) -> Outcome {
    let text = arguments.search.as_deref().unwrap_or_default();
    let search = Search::new(text);
    let text = match &arguments.name {
        None if arguments.markdown => aent_show::reference(),
        None if arguments.format == Format::Json => format!("{:#}\n", aent_show::table(&search)),
        None => match aent_show::terms(&search) {
            nothing if nothing.is_empty() => return Err(format!("nothing has the words `{text}`")),
            found => found,
        },
        Some(name) if is_file(name) => {
            let text =
                std::fs::read_to_string(name).map_err(|error| format!("cannot read `{name}`: {error}"))?;
            aent_show::of_file(name, &text)?
        }
        Some(name) => aent_show::term(name)?,
    };
    stream::print(&text)?;
    Ok(Status::Done)
}
