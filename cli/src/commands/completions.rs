//! `aent completions`: what a shell needs to complete the arguments of `aent`.

use crate::arguments::{Arguments, Completions};
use crate::{Outcome, Status, stream};
use clap::CommandFactory;

/// Prints the shell's script.
pub(crate) fn run(arguments: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "aent", &mut script);
    stream::print(&String::from_utf8_lossy(&script))?;
    Ok(Status::Done)
}
