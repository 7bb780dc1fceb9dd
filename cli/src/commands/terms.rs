//! `aent terms`: everything that a file can call or read.

use crate::arguments::Terms;
use crate::{Outcome, Status, stream};

/// Lists everything, describes one thing, or writes the reference.
pub(crate) fn run(arguments: &Terms) -> Outcome {
    match &arguments.name {
        None if arguments.markdown => stream::print(&aent_show::reference()),
        None => stream::print(&aent_show::terms()),
        Some(name) => stream::print(&aent_show::term(name)?),
    }
    Ok(Status::Done)
}
