//! `aent terms`: lists everything that a file can call or read.

use crate::arguments::{Format, Terms};
use crate::{Outcome, Status, stream};
use aent_show::Search;

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
        Some(name) => aent_show::term(name)?,
    };
    stream::print(&text)?;
    Ok(Status::Done)
}
